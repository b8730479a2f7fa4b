/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the files of tests/vectors/session/ and runs every scenario in each of its versions. */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "scenario.h"

#define FOLDER MQWARD_SOURCE_DIR "/tests/vectors/session"

struct script {
    const char *path, *file;
    char **lines;
    size_t count;
    char *policy_text;
    struct policy *policy;
    struct scenario_policy others[SCENARIO_POLICIES_MAX]; /* their texts are owned */
    size_t other_count;
    size_t scenarios;
};

static void read_script(struct script *script)
{
    FILE *in = fopen(script->path, "r");
    char *line = NULL;
    size_t size = 0;
    ssize_t length;

    cr_assert_not_null(in, "%s can't be read", script->path);
    while ((length = getline(&line, &size, in)) >= 0) {
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == ' '))
            line[--length] = 0;
        script->lines = memory_realloc(script->lines, script->count + 1, sizeof(char *));
        script->lines[script->count++] = memory_copy_string(view_of(line, (size_t)length));
    }
    free(line);
    fclose(in);
}

/* The lines of a policy from *at on, which is then the first behind it. */
static char *take_text(const struct script *script, size_t *at)
{
    struct buffer text = {0};
    char *copy;

    for (; *at < script->count && script->lines[*at][0] == '|'; ++*at)
        buffer_format(&text, "%s\n", script->lines[*at][1] == ' ' ? script->lines[*at] + 2 : "");
    copy = memory_copy_string(buffer_view(&text));
    buffer_release(&text);
    return copy;
}

static void forget_others(struct script *script)
{
    for (size_t i = 0; i < script->other_count; i++)
        free((void *)(uintptr_t)script->others[i].text);
    script->other_count = 0;
}

/* "policy <name>" and its lines: what "rebind <name>" means. */
static size_t take_other(struct script *script, size_t at)
{
    struct scenario_policy *other = &script->others[script->other_count++];

    cr_assert_leq(script->other_count, SCENARIO_POLICIES_MAX);
    snprintf(other->name, sizeof(other->name), "%s", script->lines[at++] + strlen("policy "));
    other->text = take_text(script, &at);
    return at;
}

static size_t take_policy(struct script *script, size_t at)
{
    policy_release(script->policy);
    free(script->policy_text);
    forget_others(script);
    script->policy_text = take_text(script, &at);
    script->policy = world_policy(script->policy_text);
    cr_assert_not_null(script->policy, "%s: the policy that ends at line %zu is not good", script->file, at);
    return at;
}

static bool is_body(const char *line)
{
    return strncmp(line, "scenario", 8) != 0 && strncmp(line, "policy ", 7) != 0 && line[0] != '|';
}

static void run_scenario(const struct script *script, size_t at, enum mqtt_version version, bool *failed)
{
    const char *colon = strchr(script->lines[at], ':');
    struct world *world = memory_calloc(1, sizeof(*world));
    struct run run = {.file = script->file,
        .name = colon + 2,
        .version = version,
        .world = world,
        .policies = script->others,
        .policy_count = script->other_count};

    world_init(world, script->policy, script->policy_text);
    for (size_t i = at + 1; i < script->count && is_body(script->lines[i]) && !run.failed; i++) {
        run.line = (unsigned)i + 1;
        if (script->lines[i][0] != 0 && script->lines[i][0] != '#')
            scenario_step(&run, script->lines[i]);
    }
    scenario_finish(&run);
    *failed = *failed || run.failed;
    world_free(world);
    free(world);
}

/* "scenario 3.x 5.0: name", in each of its versions. */
static void run_versions(struct script *script, size_t at, bool *failed)
{
    const char *line = script->lines[at] + 8;
    unsigned versions = 0;

    cr_assert_not_null(strchr(line, ':'), "%s:%zu: no name", script->file, at + 1);
    while (*line == ' ') {
        size_t length = strcspn(++line, " :");
        unsigned found = scenario_versions(line, length);

        cr_assert_neq(found, 0, "%s:%zu: no such version", script->file, at + 1);
        versions |= found;
        line += length;
    }
    for (int version = MQTT_V31; version <= MQTT_V5; version++)
        if (versions >> version & 1) {
            run_scenario(script, at, (enum mqtt_version)version, failed);
            script->scenarios++;
        }
}

/* True if one of its scenarios failed. */
static bool run_script(const char *path)
{
    struct script script = {.path = path, .file = strrchr(path, '/') + 1};
    bool failed = false;

    read_script(&script);
    for (size_t at = 0; at < script.count;) {
        const char *line = script.lines[at];

        if (line[0] == '|') {
            at = take_policy(&script, at);
            continue;
        }
        if (strncmp(line, "policy ", 7) == 0) {
            at = take_other(&script, at);
            continue;
        }
        if (strncmp(line, "scenario", 8) == 0) {
            cr_assert_not_null(script.policy, "%s:%zu: a scenario without a policy", script.file, at + 1);
            run_versions(&script, at, &failed);
        }
        at++;
    }
    cr_expect_gt(script.scenarios, 0, "%s has no scenario", script.file);
    for (size_t i = 0; i < script.count; i++)
        free(script.lines[i]);
    free(script.lines);
    free(script.policy_text);
    forget_others(&script);
    policy_release(script.policy);
    return failed;
}

Test(session, every_scenario_happens_as_written)
{
    glob_t found;
    bool failed = false;

    cr_assert_eq(glob(FOLDER "/*.txt", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        failed = run_script(found.gl_pathv[i]) || failed;
    globfree(&found);
    cr_expect_not(failed, "the lines above name file, line and scenario");
}
