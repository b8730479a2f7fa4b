/* SPDX-License-Identifier: Apache-2.0 */
/* The steps about signed messages, and what the replay store says of them. Called by scenario.c through its
 * table of words. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "scenario.h"
#include "signer.h"

static void add_hex(struct buffer *out, struct view bytes)
{
    for (size_t i = 0; i < bytes.length; i++)
        buffer_format(out, "%02x", bytes.data[i]);
}

static void add_envelope(
    struct buffer *out, const char *prefix, const struct buffer *header, const struct buffer *payload)
{
    buffer_format(out, "%spayload_hex=", prefix);
    add_hex(out, buffer_view(header));
    add_hex(out, buffer_view(payload));
}

static void add_property(
    struct buffer *out, const char *prefix, const struct buffer *header, const struct buffer *payload)
{
    buffer_format(
        out, "%spayload=%.*s %suser_property=mps1:", prefix, VIEW_ARGS(buffer_view(payload)), prefix);
    signer_property(buffer_view(header), out);
}

/* suffix: which carrier; empty: the one that clients of this version take. */
static void add_token(struct run *run, const char *name, const char *suffix, const struct buffer *header,
    const struct buffer *payload)
{
    struct scenario_token *token = &run->tokens[run->token_count++];
    struct buffer text = {0};
    bool will = strcmp(suffix, ".will") == 0;
    bool envelope =
        strcmp(suffix, ".envelope") == 0 || (strcmp(suffix, ".property") != 0 && run->version != MQTT_V5);

    if (envelope)
        add_envelope(&text, will ? "will." : "", header, payload);
    else
        add_property(&text, will ? "will." : "", header, payload);
    snprintf(token->name, sizeof(token->name), "%s%s", name, suffix);
    token->text = memory_copy_string(buffer_view(&text));
    buffer_release(&text);
}

/* "sign <name> <words of signer_sign()>" */
void scenario_sign(struct run *run, char *rest)
{
    static const char *const suffixes[] = {"", ".envelope", ".property", ".will"};
    struct buffer header = {0}, payload = {0};
    char *words = strchr(rest, ' ');

    if (words != NULL)
        *words++ = 0;
    if (strlen(rest) > 6 || run->token_count + 4 > SCENARIO_TOKENS_MAX ||
        !signer_sign(rest, words == NULL ? "" : words, &header, &payload))
        scenario_fail(run, "can't be signed: ", rest);
    else
        for (size_t i = 0; i < 4; i++)
            add_token(run, rest, suffixes[i], &header, &payload);
    buffer_release(&header);
    buffer_release(&payload);
}

static const struct answer_word {
    const char *word;
    enum replay_answer answer;
} answer_words[] = {{"new", REPLAY_NEW}, {"pending", REPLAY_PENDING}, {"done", REPLAY_DONE},
    {"reused", REPLAY_REUSED}, {"forgotten", REPLAY_FORGOTTEN}, {"full", REPLAY_FULL}, {"down", REPLAY_DOWN}};

const char *world_answer_word(enum replay_answer answer)
{
    return answer_words[answer].word;
}

static int find_answer(const char *word)
{
    for (size_t i = 0; i < sizeof(answer_words) / sizeof(answer_words[0]); i++)
        if (strcmp(answer_words[i].word, word) == 0)
            return (int)answer_words[i].answer;
    return -1;
}

/* "answer <name>": what the store has said when it was asked comes in; "answer <name> down": this does. */
void scenario_answer(struct run *run, char *rest)
{
    char *word = strchr(rest, ' ');
    int answer = -1;

    if (word != NULL) {
        *word++ = 0;
        answer = find_answer(word);
    }
    if (word != NULL && answer < 0)
        scenario_fail(run, "no such answer: ", word);
    else if (scenario_may_act(run) && !world_replay_answer(run->world, rest, answer))
        scenario_fail(run, "the store was not asked about ", rest);
}

/* "store down": what it says of all from now on; "store up". */
void scenario_store(struct run *run, char *rest)
{
    run->world->replay_down = strcmp(rest, "down") == 0;
}

/* "asking yes|no" */
void scenario_asking(struct run *run, char *rest)
{
    scenario_begin(run);
    scenario_expect_text(run, "asking ", session_is_asking(run->world->session) ? "yes" : "no", rest);
}
