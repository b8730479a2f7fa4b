/* SPDX-License-Identifier: Apache-2.0 */
/* mqward: finds the subcommand, reads its options, runs it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/diag.h"
#include "base/hash.h"
#include "proxy/cli/cli.h"

#define OPTIONS_MAX 24

static const struct cli_command *const commands[] = {&cli_run, &cli_check, &cli_reload, &cli_bans, &cli_audit,
    &cli_policy, &cli_rules, &cli_scan, &cli_keys, &cli_sign, &cli_verify, &cli_reference, NULL};
#define COMMANDS_MAX 16 /* of the program, and of a group */

static void print_rows(const struct cli_command *const *rows, FILE *out)
{
    for (; *rows != NULL; rows++)
        fprintf(out, "  %-16s %s\n", (*rows)->name, (*rows)->summary);
}

static void print_help(FILE *out)
{
    fprintf(out, "mqward " MQWARD_VERSION ": a TLS-terminating MQTT security proxy\n\n"
                 "usage: mqward COMMAND [OPTION...]\n\ncommands:\n");
    print_rows(commands, out);
    fprintf(out, "  %-16s %s\n", "help", "this text, or with a command that command's options");
    fprintf(out,
        "\noptions:\n  -h, --help     this text\n  -V, --version  the version\n\n"
        "exit status: 0 all is well, 1 something was found or failed, 2 the command line is wrong\n");
}

static bool is_list(const struct cli_option *option)
{
    return option->argument != NULL && view_ends_with(view_of_string(option->argument), VIEW("..."));
}

static void print_option(const struct cli_option *option, FILE *out)
{
    const bool list = is_list(option);
    const size_t length = option->argument == NULL ? 0 : strlen(option->argument) - (list ? 3 : 0);
    char left[48];

    snprintf(left, sizeof(left), "%c%c%s --%s%s%.*s", option->letter ? '-' : ' ',
        option->letter ? option->letter : ' ', option->letter ? "," : " ", option->name,
        option->argument ? " " : "", (int)length, option->argument ? option->argument : "");
    fprintf(out, "  %-24s %s%s\n", left, option->help, list ? "; may be given again" : "");
}

static void print_command_help(const struct cli_command *command, FILE *out)
{
    if (command->verbs != NULL) {
        fprintf(out, "usage: mqward %s VERB [OPTION...]\n\n%s\n\n", command->name, command->summary);
        print_rows(command->verbs, out);
        return;
    }
    fprintf(out, "usage: mqward %s%s%s\n\n%s\n\noptions:\n", command->name,
        command->options->name ? " [OPTION...]" : "", command->arguments, command->summary);
    for (const struct cli_option *option = command->options; option->name != NULL; option++)
        print_option(option, out);
    fprintf(out, "  %-24s %s\n", "-h, --help", "this text");
}

int cli_usage_error(const struct cli_command *command, const char *format, ...)
{
    va_list arguments;

    fputs("mqward: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (command == NULL)
        fputs("\nTry 'mqward --help'.\n", stderr);
    else
        fprintf(stderr, "\nTry 'mqward %s --help'.\n", command->name);
    return CLI_USAGE;
}

/* "schema" of "policy schema". */
static const char *last_word(const struct cli_command *command)
{
    const char *blank = strrchr(command->name, ' ');
    return blank == NULL ? command->name : blank + 1;
}

static const struct cli_command *find_command(const struct cli_command *const *rows, const char *word)
{
    while (*rows != NULL && strcmp(last_word(*rows), word) != 0)
        rows++;
    return *rows;
}

static int unknown_command(const struct cli_command *group, const char *word)
{
    const struct cli_command *const *rows = group == NULL ? commands : group->verbs;
    const char *what = group == NULL ? "command" : group->name;
    const char *names[COMMANDS_MAX];
    const char *near;
    size_t count = 0;

    for (; rows[count] != NULL && count < COMMANDS_MAX; count++)
        names[count] = last_word(rows[count]);
    near = diag_suggest(view_of_string(word), names, count);
    if (near != NULL)
        return cli_usage_error(group, "unknown %s '%s': did you mean '%s'?", what, word, near);
    return cli_usage_error(group, "unknown %s '%s'", what, word);
}

/* The command's options as getopt_long(3) wants them; --help is the last. */
static void build_options(const struct cli_command *command, struct option *longs, char *shorts)
{
    size_t count = 0;

    if (!command->options_anywhere)
        *shorts++ = '+';
    *shorts++ = ':';
    for (; command->options[count].name != NULL; count++) {
        const struct cli_option *option = &command->options[count];

        longs[count] = (struct option){
            option->name, option->argument ? required_argument : no_argument, NULL, (int)(256 + count)};
        if (option->letter != 0) {
            *shorts++ = option->letter;
            if (option->argument != NULL)
                *shorts++ = ':';
        }
    }
    longs[count++] = (struct option){"help", no_argument, NULL, 'h'};
    longs[count] = (struct option){NULL, 0, NULL, 0};
    *shorts++ = 'h';
    *shorts = 0;
}

static size_t option_index(const struct cli_command *command, int found)
{
    size_t index = 0;

    if (found >= 256)
        return (size_t)(found - 256);
    while (command->options[index].letter != found)
        index++;
    return index;
}

/* The values of options that may be given several times. */
static struct buffer lists[OPTIONS_MAX];

static void take_value(const struct cli_command *command, size_t index, const char *values[OPTIONS_MAX])
{
    values[index] = optarg == NULL ? "" : optarg;
    if (is_list(&command->options[index]))
        buffer_append(&lists[index], view_of(optarg, strlen(optarg) + 1));
}

static int run_with(const struct cli_command *command, const char *values[OPTIONS_MAX], int argc, char **argv)
{
    for (size_t i = 0; i < OPTIONS_MAX; i++) {
        if (buffer_length(&lists[i]) == 0)
            continue;
        buffer_append_byte(&lists[i], '\0');
        values[i] = (const char *)buffer_view(&lists[i]).data;
    }
    int status = command->run(command, values, argc, argv);
    for (size_t i = 0; i < OPTIONS_MAX; i++)
        buffer_release(&lists[i]);
    return status;
}

static int run_command(const struct cli_command *command, int argc, char **argv)
{
    struct option longs[OPTIONS_MAX + 2];
    char shorts[2 * OPTIONS_MAX + 4];
    const char *values[OPTIONS_MAX] = {NULL};
    int found;

    build_options(command, longs, shorts);
    opterr = 0;
    while ((found = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (found == 'h') {
            print_command_help(command, stdout);
            return CLI_OK;
        }
        if (found == '?')
            return cli_usage_error(command, "unknown option '%s'", argv[optind - 1]);
        if (found == ':')
            return cli_usage_error(command, "option '%s' needs an argument", argv[optind - 1]);
        take_value(command, option_index(command, found), values);
    }
    return run_with(command, values, argc - optind, argv + optind);
}

/* words[0] is the command; if it is a group words[1] is its verb, and so on. Sets how many words named it;
 * NULL after a message. whole: a group by itself is fine. */
static const struct cli_command *resolve(int count, char **words, bool whole, int *named)
{
    const struct cli_command *group = NULL, *command = find_command(commands, words[0]);

    for (*named = 1; command != NULL && command->verbs != NULL; ++*named) {
        if (count <= *named && whole)
            return command;
        if (count <= *named) {
            print_command_help(command, stderr);
            return NULL;
        }
        group = command;
        command = find_command(group->verbs, words[*named]);
    }
    if (command == NULL)
        unknown_command(group, words[*named - 1]);
    return command;
}

/* What was printed did not arrive: a script that reads it must not take that for all there is. */
static int check_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "mqward: standard output can't be written: %s\n", strerror(errno));
    return status == CLI_OK ? CLI_FINDINGS : status;
}

static int help(int argc, char **argv)
{
    const struct cli_command *command;
    int named;

    if (argc < 3) {
        print_help(stdout);
        return CLI_OK;
    }
    command = resolve(argc - 2, argv + 2, true, &named);
    if (command == NULL)
        return CLI_USAGE;
    print_command_help(command, stdout);
    return CLI_OK;
}

static bool asks_for_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* A file that is opened while one of the three is closed would take its number, and get what is meant for the
 * log or the standard output. This way whoever writes there is told that it is not possible. */
static void hold_standard_descriptors(void)
{
    for (int descriptor = 0; descriptor <= 2; descriptor++)
        if (fcntl(descriptor, F_GETFD) == -1 && errno == EBADF && open("/dev/null", O_RDONLY) != descriptor)
            abort();
}

int main(int argc, char **argv)
{
    const struct cli_command *command;
    int named;

    hold_standard_descriptors();
    hash_initialize();
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("mqward " MQWARD_VERSION);
        return CLI_OK;
    }
    if (asks_for_help(argv[1]) || strcmp(argv[1], "help") == 0)
        return help(argc, argv);
    if (argv[1][0] == '-')
        return cli_usage_error(NULL, "unknown option '%s'", argv[1]);
    if (argc == 3 && asks_for_help(argv[2])) {
        argv[2] = argv[1];
        return help(argc, argv);
    }
    if (argc == 4 && argv[2][0] != '-' && asks_for_help(argv[3])) {
        argv[3] = argv[2];
        argv[2] = argv[1];
        return help(argc, argv);
    }
    command = resolve(argc - 1, argv + 1, false, &named);
    if (command == NULL)
        return CLI_USAGE;
    return check_output(run_command(command, argc - named, argv + named));
}
