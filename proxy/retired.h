/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots that are not in force any more. The main thread keeps each until it is the only one that does:
 * what takes long to free, such as thousands of rules, is then not freed by the worker whose connection was
 * the last to use it. */
#ifndef MQWARD_PROXY_RETIRED_H
#define MQWARD_PROXY_RETIRED_H

#include "proxy/service.h"

struct retired; /* a list; NULL is an empty one */

/* Takes over the caller's reference. */
void retired_add(struct retired **list, struct snapshot *snapshot);
/* Frees those that nobody else uses, and gives their memory back to the system. True: others are left. */
bool retired_sweep(struct retired **list);
/* Lets go of all of them. */
void retired_release(struct retired **list);

#endif
