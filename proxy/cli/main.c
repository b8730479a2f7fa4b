/* SPDX-License-Identifier: Apache-2.0 */
/* mqward: finds the subcommand, reads its options, runs it. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "base/hash.h"
#include "proxy/cli/cli.h"

#define OPTIONS_MAX 16

static const struct cli_command *const commands[] = {&cli_run, &cli_check, &cli_reference};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *out)
{
    fprintf(out, "mqward " MQWARD_VERSION ": a TLS-terminating MQTT security proxy\n\n"
                 "usage: mqward COMMAND [OPTION...]\n\ncommands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "  %-10s %s\n", "help", "this text, or with a command that command's options");
    fprintf(out,
        "\noptions:\n  -h, --help     this text\n  -V, --version  the version\n\n"
        "exit status: 0 all is well, 1 something was found or failed, 2 the command line is wrong\n");
}

static void print_command_help(const struct cli_command *command, FILE *out)
{
    fprintf(out, "usage: mqward %s%s%s\n\n%s\n\noptions:\n", command->name,
        command->options->name ? " [OPTION...]" : "", command->arguments, command->summary);
    for (const struct cli_option *option = command->options; option->name != NULL; option++) {
        char left[48];

        snprintf(left, sizeof(left), "%c%c%s --%s%s%s", option->letter ? '-' : ' ',
            option->letter ? option->letter : ' ', option->letter ? "," : " ", option->name,
            option->argument ? " " : "", option->argument ? option->argument : "");
        fprintf(out, "  %-24s %s\n", left, option->help);
    }
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

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[COMMANDS];
    const char *near;

    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i]->name;
    near = diag_suggest(view_of_string(name), names, COMMANDS);
    if (near != NULL)
        return cli_usage_error(NULL, "unknown command '%s': did you mean '%s'?", name, near);
    return cli_usage_error(NULL, "unknown command '%s'", name);
}

/* The command's options as getopt_long(3) wants them; --help is the last. */
static void build_options(const struct cli_command *command, struct option *longs, char *shorts)
{
    size_t count = 0;

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
        values[option_index(command, found)] = optarg == NULL ? "" : optarg;
    }
    return command->run(command, values, argc - optind, argv + optind);
}

static int help(int argc, char **argv)
{
    const struct cli_command *command;

    if (argc < 3) {
        print_help(stdout);
        return CLI_OK;
    }
    command = find_command(argv[2]);
    if (command == NULL)
        return unknown_command(argv[2]);
    print_command_help(command, stdout);
    return CLI_OK;
}

int main(int argc, char **argv)
{
    const struct cli_command *command;

    hash_initialize();
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("mqward " MQWARD_VERSION);
        return CLI_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help(argc, argv);
    if (argv[1][0] == '-')
        return cli_usage_error(NULL, "unknown option '%s'", argv[1]);
    command = find_command(argv[1]);
    if (command == NULL)
        return unknown_command(argv[1]);
    return run_command(command, argc - 1, argv + 1);
}
