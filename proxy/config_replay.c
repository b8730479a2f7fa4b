/* SPDX-License-Identifier: Apache-2.0 */
/* replay: of mqward.yaml: what is remembered of signed messages, and the Redis that several proxies share it
 * through. Called by proxy/config.c through the table of the file. */
#include "proxy/config_build.h"

#define MS_SECOND 1000

static int set_prefix(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (config_set_text(context, keyword, target, node) != 0)
        return -1;
    if (node->text.length <= CONFIG_REPLAY_PREFIX_MAX)
        return 0;
    return keyword_error(context, node, "every key begins with it: short ones save memory",
        "%s: has %zu bytes, at most %d are possible", keyword->name, node->text.length,
        CONFIG_REPLAY_PREFIX_MAX);
}

static const struct keyword_foreign foreign_keys[] = {
    {"cluster", "the store's keys lie in many slots: name one server, or sentinels", "address"},
    {"sentinels", "write sentinel: {addresses: [...], master: ...}", "sentinel"},
    {0},
};

static const struct keyword redis_table[] = {
    CONFIG_REDIS_KEYWORDS("1s", 10 * MS_SECOND),
    {.name = "prefix",
        .set = set_prefix,
        .offset = offsetof(struct config_replay_redis, prefix),
        .default_text = "mps1:",
        .value = "string",
        .help = "What its keys begin with: the same for all proxies that share the store."},
    {.foreign = foreign_keys},
};

static int set_redis(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    struct config_replay_redis *redis = arena_alloc(context->arena, sizeof(*redis));
    *(struct config_replay_redis **)(void *)((char *)target + keyword->offset) = redis;
    return config_read_redis(context, keyword, redis, node);
}

#define REPLAY(field) offsetof(struct config_replay, field)

const struct keyword config_replay_table[] = {
    {.name = "nonces",
        .set = keyword_set_number,
        .offset = REPLAY(nonces),
        .default_text = "1048576",
        .minimum = 1024,
        .maximum = (uint64_t)1 << 30,
        .help =
            "Nonces that are remembered at a time, each until its message is too old: about 64 bytes each."},
    {.name = "per_signer",
        .set = keyword_set_number,
        .offset = REPLAY(per_signer),
        .default_text = "16384",
        .minimum = 16,
        .maximum = (uint64_t)1 << 24,
        .help =
            "Nonces of one signer. Above it, his oldest is forgotten, and nothing as old is taken from him: "
            "at least what a signer sends within `max_age` and `skew` of the check."},
    {.name = "signers",
        .set = keyword_set_number,
        .offset = REPLAY(signers),
        .default_text = "262144",
        .minimum = 64,
        .maximum = (uint64_t)1 << 24,
        .help = "Signers: about 100 bytes each, 700 with a sequence. Messages of further ones are refused "
                "(`sig_store_down`)."},
    {.name = "redis",
        .set = set_redis,
        .offset = REPLAY(redis),
        .members = redis_table,
        .value = "mapping",
        .help = "Where proxies [share the store](operations.md#the-shared-replay-store). Without it, each "
                "has its "
                "own."},
    {0},
};
