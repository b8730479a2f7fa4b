/* SPDX-License-Identifier: Apache-2.0 */
/* What jwt.c and jwt_claims.c share. Private to them. */
#ifndef MQWARD_POLICY_JWT_INTERNAL_H
#define MQWARD_POLICY_JWT_INTERNAL_H

#include "policy/jose_json.h"
#include "policy/jwt.h"

struct jwt {
    struct arena *arena; /* texts that are not the tree's */
    json_t *root;
    uint64_t expires_s;
};

/* Takes the part before the next '.' off rest; false, and part is all of rest: there is no dot. */
bool jwt_next_part(struct view *rest, struct view *part);

#endif
