/* SPDX-License-Identifier: Apache-2.0 */
/* Who is banned: identities and addresses, each until a time. In memory: bans survive reloads, not a restart.
 * Thread-safe; asked when clients connect, and of every session when a ban begins. */
#ifndef MQWARD_PROXY_BANS_H
#define MQWARD_PROXY_BANS_H

#include "base/reason.h"
#include "base/view.h"

struct bans;

enum ban_by { BAN_BY_ID, BAN_BY_ADDRESS, BAN_KINDS };
/* "id", "address" */
const char *ban_by_name(enum ban_by by);

#define BANS_MAX 16384      /* of each kind */
#define BAN_VALUE_SHOWN 256 /* bytes of a value that are kept to be shown; it is compared as a whole */
#define BAN_TEXT_SIZE 256
#define BAN_WHO_SIZE 80
#define BAN_LONGEST_MS (UINT64_C(365) * 24 * 3600 * 1000)

/* A ban that is to begin. */
struct ban_order {
    enum ban_by by;
    struct view value;      /* an identity, or what address_site() says */
    uint64_t until_ms;      /* monotonic */
    uint64_t until_wall_us; /* the same for people */
    bool ordered;           /* by an operator; else by the policy */
    struct view why;        /* for people; as much as fits is kept */
};

/* A ban that is, or was. */
struct ban {
    enum ban_by by;
    bool ordered;
    uint64_t until_ms, until_wall_us;
    size_t value_length, shown_length, why_length;
    uint8_t shown[BAN_VALUE_SHOWN]; /* of the value, which has value_length bytes */
    uint8_t why[BAN_TEXT_SIZE];
    char lifted_by[BAN_WHO_SIZE]; /* of a ban that was */
};

struct bans *bans_new(void);
void bans_free(struct bans *bans); /* NULL is fine */
/* changed is called when a ban has begun or was displaced, by the thread that called bans_begin(). Set before
 * other threads use the bans. */
void bans_on_change(struct bans *bans, void (*changed)(void *context), void *context);

enum ban_begun {
    BAN_BEGUN, /* also: the one there was lasts longer now, or is an operator's now */
    BAN_HELD,  /* there is one already that lasts longer, or is an operator's and the new one is not */
    BAN_FULL,  /* there are BANS_MAX, all of them operators' */
};
/* When there are BANS_MAX, the policy's ban that ends soonest makes room. With BAN_BEGUN the order has the
 * end that holds, which is later where the ban that was there lasts longer. */
enum ban_begun bans_begin(struct bans *bans, struct ban_order *order, uint64_t now_ms);
/* What bans_begin() would say now, and do to the order. */
enum ban_begun bans_may_begin(struct bans *bans, struct ban_order *order, uint64_t now_ms);
/* For how many milliseconds more; 0: not banned. ordered: only bans that an operator ordered count. */
uint64_t bans_left(struct bans *bans, enum ban_by by, struct view value, bool ordered, uint64_t now_ms);
/* who: lifts it, for the audit. False: there is no such ban. */
bool bans_lift(struct bans *bans, enum ban_by by, struct view value, const char *who, uint64_t now_ms);
size_t bans_lift_all(struct bans *bans, const char *who, uint64_t now_ms); /* how many */

/* Each ban that ended, once: REASON_ban_expired, _lifted or _displaced. False: there is none. */
bool bans_take_ended(struct bans *bans, uint64_t now_ms, struct ban *out, enum reason *reason);
/* How many there are of each kind. Those that have ended count until bans_take_ended() has taken them. */
void bans_count(struct bans *bans, size_t counts[BAN_KINDS]);
/* When the next one ends, monotonic; 0: there is none. */
uint64_t bans_next_end(struct bans *bans);
/* Calls each for every ban that holds; it must not come back here. */
void bans_each(
    struct bans *bans, uint64_t now_ms, void (*each)(void *context, const struct ban *ban), void *context);

#endif
