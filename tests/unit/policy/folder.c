/* SPDX-License-Identifier: Apache-2.0 */
/* Policies of several files (tests/policies has those that are refused, as <name>.d). */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define PLANT MQWARD_SOURCE_DIR "/tests/policies/good/plant.d"

/* A folder of its own; the text of what policy_load() said goes to messages. */
struct folder {
    char path[64];
    char *messages;
};

static struct folder new_folder(void)
{
    struct folder folder = {.path = "/tmp/mqward-folder-XXXXXX"};
    cr_assert_not_null(mkdtemp(folder.path));
    return folder;
}

static void write_file(const struct folder *folder, const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    FILE *out = fopen(path, "w");
    cr_assert_not_null(out, "%s", path);
    fputs(text, out);
    fclose(out);
}

static struct policy *load(struct folder *folder)
{
    static const char *const cas[] = {"fleet"};
    static const char *const files[] = {"users"};
    static const struct policy_names names = {
        .cas = cas, .ca_count = 1, .password_files = files, .password_file_count = 1};
    struct diag_list *diag = diag_list_new();
    size_t size = 0;
    free(folder->messages);
    struct policy *policy = policy_load(folder->path, &names, diag, NULL);
    FILE *out = open_memstream(&folder->messages, &size);
    diag_print(diag, out);
    fclose(out);
    diag_list_free(diag);
    return policy;
}

static void remove_folder(struct folder *folder)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder->path);
    cr_expect_eq(system(command), 0);
    free(folder->messages);
}

#define WHOLE "version: 1\npolicy: p\nidentity: [password: {file: users}]\n"
#define RULE(name)                                                                                           \
    "version: 1\nrules: [{rule: " name ", who: everyone, allow: publish, topics: [a/" name "]}]\n"

static void check_decision(const struct policy *policy, const struct policy_subject *subject,
    const char *topic, const char *location)
{
    struct policy_request request = {.operation = POLICY_PUBLISH, .topic = view_of_string(topic)};
    struct policy_verdict verdict;
    policy_decide(policy, subject, &request, &verdict);
    cr_assert_not_null(verdict.rule, "%s", topic);
    cr_expect_str_eq(verdict.rule->location, location);
}

Test(folder, its_files_are_one_policy_and_rules_are_found_in_their_own)
{
    struct folder folder = new_folder();
    write_file(&folder, "z.yaml", WHOLE);
    write_file(&folder, "a.yaml", RULE("a"));
    write_file(
        &folder, "b.yaml", "version: 1\n\n\nrules:\n- {rule: b, who: us, deny: publish, topics: [a/b]}\n");
    write_file(&folder, "groups.yaml", "version: 1\ngroups: {us: {source: password}}\n");
    struct policy *policy = load(&folder);
    cr_assert_not_null(policy, "%s", folder.messages);
    cr_expect_str_empty(folder.messages, "%s", folder.messages);
    struct fixture fixture = {.policy = policy};
    struct policy_subject *eva = fixture_user(&fixture, "eva");
    check_decision(policy, eva, "a/a", "a.yaml:2");
    check_decision(policy, eva, "a/b", "b.yaml:5");
    policy_subject_free(eva);
    policy_release(policy);
    remove_folder(&folder);
}

static void check_version(const struct folder *folder, const struct policy *policy)
{
    char command[256], line[80] = "", version[80];
    snprintf(
        command, sizeof(command), "cd '%s' && LC_ALL=C sh -c 'sha256sum *.yaml' | sha256sum", folder->path);
    FILE *in = popen(command, "r");
    cr_assert_not_null(in);
    cr_assert_not_null(fgets(line, sizeof(line), in));
    pclose(in);
    snprintf(version, sizeof(version), "sha256:%.64s", line);
    cr_expect_str_eq(policy_settings(policy)->version, version);
}

Test(folder, its_version_is_that_of_all_names_and_bytes)
{
    struct folder folder = new_folder();
    write_file(&folder, "a.yaml", WHOLE);
    write_file(&folder, "b.yaml", RULE("b"));
    struct policy *policy = load(&folder);
    cr_assert_not_null(policy, "%s", folder.messages);
    check_version(&folder, policy);
    char before[80];
    snprintf(before, sizeof(before), "%s", policy_settings(policy)->version);
    policy_release(policy);

    /* The same bytes under another name. */
    char from[100], to[100];
    snprintf(from, sizeof(from), "%s/b.yaml", folder.path);
    snprintf(to, sizeof(to), "%s/c.yaml", folder.path);
    cr_assert_eq(rename(from, to), 0);
    policy = load(&folder);
    cr_assert_not_null(policy, "%s", folder.messages);
    check_version(&folder, policy);
    cr_expect_str_neq(policy_settings(policy)->version, before);
    policy_release(policy);
    remove_folder(&folder);
}

Test(folder, what_editors_leave_behind_is_not_read)
{
    static const char *const names[] = {
        ".a.yaml.swp", ".#a.yaml", "#a.yaml#", "a.yaml~", "a.yaml.bak", ".x.yaml"};
    struct folder folder = new_folder();
    write_file(&folder, "a.yaml", WHOLE "rules: [{rule: a, who: everyone, allow: publish, topics: [a]}]\n");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        write_file(&folder, names[i], "not a policy");
    char inner[100];
    snprintf(inner, sizeof(inner), "%s/inner", folder.path);
    cr_assert_eq(mkdir(inner, 0700), 0);
    write_file(&folder, "inner/b.yaml", "not a policy either");
    struct policy *policy = load(&folder);
    cr_expect_not_null(policy, "%s", folder.messages);
    cr_expect_str_empty(folder.messages, "%s", folder.messages);
    policy_release(policy);
    remove_folder(&folder);
}

Test(folder, a_file_that_cannot_be_read_refuses_the_policy)
{
    struct folder folder = new_folder();
    char path[100];
    write_file(&folder, "a.yaml", WHOLE "rules: [{rule: a, who: nobody, allow: publich, topics: [a]}]\n");
    snprintf(path, sizeof(path), "%s/b.yaml", folder.path);
    cr_assert_eq(symlink("/nowhere/b.yaml", path), 0);
    cr_expect_null(load(&folder));
    cr_expect_not_null(strstr(folder.messages, "b.yaml: error: cannot be read: No such file or directory"),
        "%s", folder.messages);
    /* The errors of the others are said, and not what would follow from what is missing. */
    cr_expect_not_null(strstr(folder.messages, "publich"), "%s", folder.messages);
    cr_expect_null(strstr(folder.messages, "unknown group"), "%s", folder.messages);
    remove_folder(&folder);
}

Test(folder, what_a_reader_would_wait_for_is_refused, .timeout = 10)
{
    struct folder folder = new_folder();
    char path[100];
    write_file(&folder, "a.yaml", WHOLE);
    snprintf(path, sizeof(path), "%s/b.yaml", folder.path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_expect_null(load(&folder));
    cr_expect_not_null(
        strstr(folder.messages, "b.yaml: error: it is not a regular file"), "%s", folder.messages);

    struct diag_list *diag = diag_list_new();
    const struct diag_source source = {.path = "mqward.yaml", .text = VIEW("policy: policy.yaml\n")};
    const struct diag_place place = {&source, 1, 9, 11};
    cr_expect_null(policy_load(path, NULL, diag, &place));
    cr_expect_eq(diag_errors(diag), 1);
    diag_list_free(diag);
    remove_folder(&folder);
}

Test(folder, a_file_whose_ending_is_almost_right_is_warned_about)
{
    struct folder folder = new_folder();
    write_file(&folder, "a.yaml", WHOLE "rules: [{rule: a, who: everyone, allow: publish, topics: [a]}]\n");
    write_file(&folder, "deny.YAML", "not read");
    write_file(&folder, "deny.yml", "not read");
    struct policy *policy = load(&folder);
    cr_expect_not_null(policy, "%s", folder.messages);
    cr_expect_not_null(strstr(folder.messages, "warning: 'deny.YAML' is not read"), "%s", folder.messages);
    cr_expect_not_null(strstr(folder.messages, "warning: 'deny.yml' is not read"), "%s", folder.messages);
    policy_release(policy);
    remove_folder(&folder);
}

Test(folder, names_that_would_not_show_are_refused)
{
    struct folder folder = new_folder();
    write_file(&folder, "a.yaml", WHOLE);
    write_file(&folder, "b\n.yaml", "version: 1\n");
    write_file(&folder, "c\\.yaml", "version: 1\n");
    cr_expect_null(load(&folder));
    cr_expect_not_null(strstr(folder.messages, "'c\\.yaml': a backslash or control character in a name"),
        "%s", folder.messages);
    cr_expect_not_null(strstr(folder.messages, "'b?.yaml': a backslash or control character in a name"), "%s",
        folder.messages);
    remove_folder(&folder);
}

Test(folder, a_path_may_end_with_a_slash)
{
    struct diag_list *diag = diag_list_new();
    struct policy *policy = policy_load(PLANT "/", NULL, diag, NULL);
    cr_expect_not_null(policy);
    policy_release(policy);
    diag_list_free(diag);
}

Test(folder, the_place_that_names_an_empty_one_is_shown)
{
    struct folder folder = new_folder();
    struct diag_list *diag = diag_list_new();
    const struct diag_source source = {.path = "mqward.yaml", .text = VIEW("policy: policy.d\n")};
    const struct diag_place place = {&source, 1, 9, 8};
    cr_expect_null(policy_load(folder.path, NULL, diag, &place));
    size_t size = 0;
    FILE *out = open_memstream(&folder.messages, &size);
    diag_print(diag, out);
    fclose(out);
    diag_list_free(diag);
    cr_expect_not_null(
        strstr(folder.messages, "mqward.yaml:1:9: error: no policy in the folder"), "%s", folder.messages);
    remove_folder(&folder);
}
