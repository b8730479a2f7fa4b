/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the running of vectors: each is signed anew where it says what must come out, and each of its packets
 * is verified, against a replay store of its own. */
#include "proxy/cli/verify_vectors.h"

#include <stdio.h>

#include "base/json.h"
#include "proxy/cli/signing.h"
#include "proxy/cli/verify_table.h"

/* Of the first thing that is not as the table says. */
struct outcome {
    bool passed;
    const char *expected, *found; /* of a result; else found alone says what is wrong */
    size_t step;                  /* from 1; 0: not of a step */
};

static const char *name_of(enum reason reason)
{
    return reason == REASON_none ? "ok" : reason_info(reason)->name;
}

static bool signs_right(const struct verify_vector *vector)
{
    uint8_t space[MPS1_HEADER_MAX];
    struct mps1_header header = vector->header;
    struct mps1_key key;

    mps1_key_init(&key, header.algorithm, vector->secret);
    mps1_sign(&key, &vector->message, &header, space);
    mps1_key_wipe(&key);
    return view_equal(view_of(space, header.length), vector->made);
}

/* Step 9, after a signature that stands. */
static enum reason check_replay(
    struct replay_store *store, const struct verify_step *step, const struct replay_mark *mark, bool sequence)
{
    enum replay_answer answer =
        sequence ? replay_sequence(store, mark) : replay_nonce(store, mark, step->now_ms);
    enum reason reason = signature_replayed(answer, step->qos, step->dup, sequence);

    if (reason == REASON_none && (step->acknowledged || step->qos == 0))
        replay_done(store, mark, sequence);
    return reason;
}

static enum reason arrive(const struct verify_vector *vector, const struct verify_step *step,
    struct replay_store *store, struct signature_found *found)
{
    enum reason reason = signature_verify(
        vector->keyring, vector->terms, SIGNATURE_INGRESS, &step->message, step->now_ms, found);

    if (reason != REASON_none || !found->present)
        return reason;
    const struct replay_mark mark = signature_mark(vector->terms, found);
    return check_replay(store, step, &mark, (found->header.flags & MPS1_SEQ) != 0);
}

static struct outcome run_vector(const struct verify_vector *vector)
{
    struct replay_store *store;
    struct outcome outcome = {.passed = true};

    if (vector->signs && !signs_right(vector))
        return (struct outcome){.found = "signing it makes something else"};
    store = replay_new(&(struct replay_limits){.total = 1024});
    for (size_t i = 0; i < vector->step_count && outcome.passed; i++) {
        const struct verify_step *step = &vector->steps[i];
        struct signature_found found;
        enum reason reason = arrive(vector, step, store, &found);

        outcome = (struct outcome){.passed = reason == step->expected,
            .expected = name_of(step->expected),
            .found = name_of(reason),
            .step = vector->step_count > 1 ? i + 1 : 0};
        if (outcome.passed && step->payload.data != NULL && !view_equal(step->payload, found.payload))
            outcome = (struct outcome){.found = "another payload goes on"};
    }
    replay_free(store);
    return outcome;
}

/* ---- what is printed ---- */

static void print_outcome(const struct verify_vector *vector, const struct outcome *outcome)
{
    printf("%-6s  %s: %s", outcome->passed ? "ok" : "FAILED", vector->name, outcome->found);
    if (!outcome->passed && outcome->expected != NULL)
        printf(", not %s", outcome->expected);
    if (!outcome->passed && outcome->step > 0)
        printf(" (step %zu)", outcome->step);
    putchar('\n');
}

static void json_outcome(struct json *json, const struct verify_vector *vector, const struct outcome *outcome)
{
    json_write_object_begin(json, NULL);
    json_write_string(json, "name", view_of_string(vector->name));
    json_write_boolean(json, "passed", outcome->passed);
    json_write_string(json, "found", view_of_string(outcome->found));
    if (outcome->expected != NULL)
        json_write_string(json, "expected", view_of_string(outcome->expected));
    if (outcome->step > 0)
        json_write_unsigned(json, "step", outcome->step);
    json_write_object_end(json);
}

int verify_vectors(const char *path, bool as_json)
{
    struct verify_table *table = verify_table_read(path);
    const struct verify_vector *vectors;
    size_t count, failed = 0;
    struct buffer out = {0};
    struct json json;

    if (table == NULL)
        return CLI_FINDINGS;
    vectors = verify_table_vectors(table, &count);
    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_array_begin(&json, "results");
    for (size_t i = 0; i < count; i++) {
        const struct outcome outcome = run_vector(&vectors[i]);

        failed += !outcome.passed;
        json_outcome(&json, &vectors[i], &outcome);
        if (!as_json)
            print_outcome(&vectors[i], &outcome);
    }
    json_write_array_end(&json);
    json_write_unsigned(&json, "vectors", count);
    json_write_unsigned(&json, "failed", failed);
    json_write_boolean(&json, "ok", failed == 0);
    json_write_object_end(&json);
    if (as_json)
        printf("%.*s\n", VIEW_ARGS(buffer_view(&out)));
    else
        printf("%s: %zu vectors, %zu failed\n", path, count, failed);
    buffer_release(&out);
    verify_table_free(table);
    return failed == 0 ? CLI_OK : CLI_FINDINGS;
}
