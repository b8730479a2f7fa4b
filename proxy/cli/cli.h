/* SPDX-License-Identifier: Apache-2.0 */
/* Subcommands: one file and one row each. Help is derived from the rows. */
#ifndef MQWARD_PROXY_CLI_CLI_H
#define MQWARD_PROXY_CLI_CLI_H

#include <stdbool.h>

/* Exit status of every subcommand. */
enum { CLI_OK = 0, CLI_FINDINGS = 1, CLI_USAGE = 2 };

struct cli_option {
    const char *name;     /* "config" for --config */
    char letter;          /* 'c' for -c, 0 = none */
    const char *argument; /* "FILE", NULL = takes none; "FILE...": it may be given several times */
    const char *help;
};

struct cli_command {
    const char *name;                 /* of a group's verb both words: "policy schema" */
    const char *arguments;            /* positional ones, for the help; "" = none */
    const char *summary;              /* one line */
    const struct cli_option *options; /* ended by a NULL name; --help is understood everywhere */
    /* values[i]: of options[i] (NULL: not given; "" for one without argument; of one that may be given
     * several times all of them, each ended by a NUL, and a NUL behind the last). The rest of the words
     * follow. */
    int (*run)(const struct cli_command *command, const char *const *values, int argc, char **argv);
    /* Options may stand behind the words, too; a word that begins with '-' then needs "--" before it. */
    bool options_anywhere;
    const struct cli_command *const *verbs; /* of a group, ended by NULL: then it has no options and no run */
};

extern const struct cli_command cli_run, cli_check, cli_reload, cli_bans, cli_reference, cli_policy, cli_keys,
    cli_sign, cli_verify, cli_rules, cli_scan, cli_audit;
/* Verbs of cli_policy. */
extern const struct cli_command cli_policy_test, cli_policy_explain, cli_policy_schema;
/* Verbs of cli_keys. */
extern const struct cli_command cli_keys_new, cli_keys_derive, cli_keys_list;

/* Verbs of cli_rules. */
extern const struct cli_command cli_rules_test, cli_rules_stats;

/* Verbs of cli_audit. */
extern const struct cli_command cli_audit_verify, cli_audit_tail, cli_audit_replay, cli_audit_keys;

/* Says what is wrong with the command line, and where help is; returns CLI_USAGE. */
int cli_usage_error(const struct cli_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
