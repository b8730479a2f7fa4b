/* SPDX-License-Identifier: Apache-2.0 */
/* Rules tried: each with the samples that it names, all of them with a folder of ordinary messages, and what
 * they cost. */
#ifndef MQWARD_PROXY_CLI_RULES_TRIAL_H
#define MQWARD_PROXY_CLI_RULES_TRIAL_H

#include "proxy/cli/rules_input.h"

struct rules_case {
    const struct scan_rule *rule;
    enum sample_kind kind;
    const char *name;    /* of the sample */
    const char *failure; /* NULL: it passed */
};

struct rules_found {
    const struct scan_rule *rule;
    const char *view; /* "json/base64" */
    uint64_t offset;  /* in it; UINT64_MAX: none of its strings matched */
};

struct rules_message {
    const char *path;
    struct rules_found *found;
    size_t count;
    const char *failure; /* why not all of it was looked at; NULL: it was */
};

struct rules_cost {
    const char *set, *rule; /* as in struct scan_cost */
    uint64_t messages_ns, hostile_ns;
    const char *hostile;
};

/* Texts live in the input's arena. */
struct rules_trial {
    struct rules_input *input;
    struct scanner *scanner;
    struct rules_case *cases;
    size_t case_count, cases_failed;
    struct rules_message *messages;
    size_t message_count, messages_failed;
    const struct scan_rule **untested; /* rules without a sample, or without the folder of samples */
    size_t untested_count;
    struct rules_cost *costs; /* the dearest first */
    size_t cost_count;
    bool keeps;         /* the views of messages, for the measurement of costs */
    struct view *views; /* of messages */
    size_t view_count, view_bytes;
};

/* Tries the rules of input (not NULL) with their samples. keeps: costs will be asked for. */
void rules_trial_begin(struct rules_trial *trial, struct rules_input *input, bool keeps);
/* With every message below folder; errors go to the input's diag. */
void rules_trial_corpus(struct rules_trial *trial, const char *folder);
/* Measures, over all messages of the trial so far. */
void rules_trial_measure(struct rules_trial *trial);
void rules_trial_end(struct rules_trial *trial);

/* "found in json/base64 at 12", into arena. */
const char *rules_found_text(struct arena *arena, const struct rules_found *found);

#endif
