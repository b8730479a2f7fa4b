/* SPDX-License-Identifier: Apache-2.0 */
/* What random.c holds against the session: an own matcher for a small policy, and the order and number of
 * answers. */
#include "model.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

const char model_policy[] = "version: 1\n"
                            "policy: random\n"
                            "identity:\n"
                            "  - anonymous: {id: anyone}\n"
                            "rules:\n"
                            "  - rule: publish\n"
                            "    who: everyone\n"
                            "    allow: publish\n"
                            "    topics: [ok/#, both/+]\n"
                            "  - rule: low\n"
                            "    who: everyone\n"
                            "    allow: publish\n"
                            "    topics: [low/#]\n"
                            "    if: {max_qos: 0}\n"
                            "  - rule: receive\n"
                            "    who: everyone\n"
                            "    allow: subscribe\n"
                            "    topics: [in/#, both/+]\n"
                            "  - rule: guard\n"
                            "    who: everyone\n"
                            "    deny: [publish, receive]\n"
                            "    topics: [+/secret/#]\n";

static bool is_under(const char *topic, const char *top)
{
    size_t length = strlen(top);

    return strncmp(topic, top, length) == 0 && (topic[length] == 0 || topic[length] == '/');
}

static bool is_secret(const char *topic)
{
    const char *slash = strchr(topic, '/');

    return slash != NULL && topic[0] != '$' && is_under(slash + 1, "secret");
}

static bool is_both(const char *topic)
{
    return strncmp(topic, "both/", 5) == 0 && strchr(topic + 5, '/') == NULL;
}

static bool may_publish(const char *topic, unsigned qos)
{
    return !is_secret(topic) &&
           (is_under(topic, "ok") || is_both(topic) || (is_under(topic, "low") && qos == 0));
}

static bool may_receive(const char *topic)
{
    return !is_secret(topic) && (is_under(topic, "in") || is_both(topic));
}

/* ---- the model ---- */

void model_list_push(struct list *list, unsigned id)
{
    cr_assert(list->count < 2 * MODEL_IDS);
    list->items[list->count++] = id;
}

unsigned model_list_take(struct list *list, size_t index)
{
    unsigned id = list->items[index];

    memmove(&list->items[index], &list->items[index + 1], (--list->count - index) * sizeof(list->items[0]));
    return id;
}

static bool list_remove(struct list *list, unsigned id)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i] == id) {
            model_list_take(list, i);
            return true;
        }
    return false;
}

/* splitmix64 */
unsigned model_below(struct model *model, unsigned limit)
{
    uint64_t z = model->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((z ^ z >> 31) % limit);
}

static unsigned number_after(const char *text, const char *key, unsigned fallback)
{
    const char *at = strstr(text, key);

    return at == NULL ? fallback : (unsigned)strtoul(at + strlen(key), NULL, 0);
}

/* ---- what comes out is checked and moves the model ---- */

static void check_answer(struct model *model, struct flow *flow, const char *text, unsigned kind)
{
    unsigned id = 0, code = 0;

    sscanf(text, "%*s %u %i", &id, (int *)&code);
    if (model->wild)
        return;
    cr_assert(flow->unanswered[kind].count > 0, "an answer to nothing: %s", text);
    cr_assert_eq(flow->unanswered[kind].items[0], id, "out of order: %s, due is %u", text,
        flow->unanswered[kind].items[0]);
    model_list_take(&flow->unanswered[kind], 0);
    if (kind == 1 && code < 0x80)
        model_list_push(&flow->to_release, id);
    else
        flow->used[id] = false;
}

static void check_completion(struct model *model, struct flow *flow, const char *text)
{
    unsigned id = 0;

    sscanf(text, "%*s %u", &id);
    if (model->wild)
        return;
    cr_assert(list_remove(&flow->released, id), "not awaited: %s", text);
    flow->used[id] = false;
}

/* What both peers may get: messages, PUBREL, answers. in: messages towards this peer, out: its own. */
static void arrive(struct model *model, const char *text, struct flow *in, struct flow *out)
{
    if (strncmp(text, "PUBLISH ", 8) == 0) {
        unsigned qos = number_after(text, " qos=", 0);

        cr_assert(strstr(text, "topic_alias") == NULL, "an alias got through: %s", text);
        if (qos > 0 && !model->wild)
            model_list_push(&in->arrived[qos - 1], number_after(text, " id=", 0));
    } else if (strncmp(text, "PUBACK ", 7) == 0)
        check_answer(model, out, text, 0);
    else if (strncmp(text, "PUBREC ", 7) == 0)
        check_answer(model, out, text, 1);
    else if (strncmp(text, "PUBCOMP ", 8) == 0)
        check_completion(model, out, text);
    else if (strncmp(text, "PUBREL ", 7) == 0 && !model->wild)
        model_list_push(&in->to_complete, number_after(text, "PUBREL ", 0));
}

static unsigned count_words(const char *text)
{
    unsigned words = 0;

    for (const char *at = text; (at = strchr(at, ' ')) != NULL; at++)
        words++;
    return words;
}

static void at_broker(struct model *model, const char *text)
{
    char topic[64] = "";

    if (sscanf(text, "PUBLISH %63s", topic) == 1) {
        cr_assert(may_publish(topic, number_after(text, " qos=", 0)), "got through: %s", text);
        cr_assert(strcmp(topic, model->topic) == 0, "another topic than was meant: %s", text);
    }
    if (strncmp(text, "SUBSCRIBE ", 10) == 0) {
        unsigned id = number_after(text, "SUBSCRIBE ", 0);

        cr_assert(strstr(text, " #") == NULL && strstr(text, " ok/") == NULL && strstr(text, "$") == NULL &&
                      strstr(text, "secret") == NULL && strstr(text, "+/a") == NULL,
            "got through: %s", text);
        model_list_push(&model->subscribes, id);
        model->forwarded_counts[id] = count_words(text) - 1;
    }
    arrive(model, text, &model->up, &model->down);
}

static void at_client(struct model *model, const char *text)
{
    char topic[64] = "";

    if (sscanf(text, "PUBLISH %63s", topic) == 1)
        cr_assert(may_receive(topic), "delivered: %s", text);
    if (strncmp(text, "SUBACK ", 7) == 0 && !model->wild) {
        unsigned id = number_after(text, "SUBACK ", 0);

        cr_assert_eq(
            model->subscribe_counts[id], count_words(text) - 1, "not all filters answered: %s", text);
        model->subscribe_counts[id] = 0;
    }
    arrive(model, text, &model->down, &model->up);
}

void model_look(struct model *model, enum mqtt_direction from, const char *fed)
{
    struct world *world = model->world;
    bool closed = false;

    for (size_t i = 0; i < world->count; i++) {
        const char *line = world->lines[i];

        cr_assert_not(closed, "behind the end: %s", line);
        if (strcmp(line, "forward") == 0)
            (from == MQTT_FROM_CLIENT ? at_broker : at_client)(model, fed);
        else if (strncmp(line, "to-broker ", 10) == 0)
            at_broker(model, line + 10);
        else if (strncmp(line, "to-client ", 10) == 0)
            at_client(model, line + 10);
        closed = strncmp(line, "close ", 6) == 0;
    }
    world_forget_lines(world);
}
