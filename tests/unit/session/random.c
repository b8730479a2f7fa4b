/* SPDX-License-Identifier: Apache-2.0 */
/* The session model with pseudo-random choices: random legal and illegal packets of both sides. MQWARD_SEED
 * repeats a life (a failure says which), MQWARD_STEPS sets the number of packets of each test, MQWARD_HISTORY
 * that of the packets that a failure shows. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "../rounds.h"
#include "base/memory.h"
#include "model.h"

#define STEPS 500000

static unsigned long long number_of(const char *variable, unsigned long long fallback)
{
    const char *text = getenv(variable);

    return text == NULL ? fallback : strtoull(text, NULL, 10);
}

/* The report outlives the model, so that a failure is not drowned in reports of leaks. */
static void on_failure(void *context, const char *text)
{
    static char *report;
    struct model **model = context;

    report = memory_copy_string(view_of_string(text));
    model_free(*model);
    cr_assert_fail("%s", report);
}

static uint64_t choose_seed(void)
{
    uint32_t chance = 1;

    if (getrandom(&chance, sizeof(chance), 0) != sizeof(chance))
        chance = 1;
    return number_of("MQWARD_SEED", ((uint64_t)chance << 24) + 1);
}

/* Life after life; each has the next seed. */
static void run(struct model_options options)
{
    unsigned long long wanted = number_of("MQWARD_STEPS", rounds_of(STEPS)), steps = 0;
    uint64_t seed = choose_seed();
    struct model *model;

    options.fail = on_failure;
    options.context = &model;
    model = model_new(&options);
    cr_assert_not_null(model);
    for (; steps < wanted; seed++)
        steps += model_life(model, choices_from_seed(seed), seed);
    model_free(model);
}

Test(model, mqtt_31, .timeout = 600)
{
    run((struct model_options){.version = MQTT_V31});
}

Test(model, mqtt_311, .timeout = 600)
{
    run((struct model_options){.version = MQTT_V311});
}

Test(model, mqtt_5, .timeout = 600)
{
    run((struct model_options){.version = MQTT_V5});
}

Test(model, monitor_mode, .timeout = 600)
{
    run((struct model_options){.monitor = true});
}

Test(model, brokers_that_answer_in_any_order, .timeout = 600)
{
    run((struct model_options){.any_order = true});
}

static void use_every_id(bool any_order)
{
    uint64_t seed = choose_seed();
    struct model_options options = {.ids = 65535, .any_order = any_order, .fail = on_failure};
    struct model *model;

    options.context = &model;
    model = model_new(&options);
    cr_assert_not_null(model);
    cr_assert_gt(
        model_every_id(model, seed % 2 == 0 ? MQTT_V5 : MQTT_V311, choices_from_seed(seed), seed), 400000);
    model_free(model);
}

Test(model, every_packet_identifier_at_a_time, .timeout = 600)
{
    use_every_id(false);
}

Test(model, every_packet_identifier_answered_in_any_order, .timeout = 600)
{
    use_every_id(true);
}
