/* SPDX-License-Identifier: Apache-2.0 */
/* mqward audit verify: walks the trail, from the journal or from a copy of it, and names what does not hold.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/secret.h"
#include "exporters/chain_key.h"
#include "exporters/chain_state.h"
#include "exporters/checkpoint.h"
#include "proxy/cli/audit_keys.h"
#include "proxy/cli/audit_verify.h"
#include "proxy/cli/text.h"

static const struct cli_option options[] = {
    [VERIFY_OPTION_CONFIG] = {"config", 'c', "FILE",
        "the journal of this mqward.yaml (default: /etc/mqward/mqward.yaml)"},
    [VERIFY_OPTION_SINK] = {"sink", 0, "NAME",
        "what this sink of the configuration has delivered to its Redis stream or list"},
    [VERIFY_OPTION_KEY] = {"key", 'k', "FILE",
        "verification key (default: chain.key of the journal's directory)"},
    [VERIFY_OPTION_PUBLIC] = {"public-key", 'p', "FILE...",
        "public key of the checkpoints (default: checkpoint.pub of the journal's directory); several times "
        "if the "
        "proxy has had several"},
    [VERIFY_OPTION_HOST] = {"host", 0, "NAME",
        "only lines with this observer.hostname: one of several proxies that share a sink"},
    [VERIFY_OPTION_ANY_ORDER] = {"any-order", 0, NULL, "lines of a copy may stand behind their place"},
    [VERIFY_OPTION_SKIP] = {"skip-other", 0, NULL,
        "skip what does not begin with '{', instead of reporting it"},
    [VERIFY_OPTION_UNCHAINED] = {"unchained-before", 0, "EPOCH",
        "lines without a link of earlier epochs are of a version without a chain; an event.id will do"},
    [VERIFY_OPTION_NO_STATE] = {"no-state", 0, NULL,
        "the directory is a copy without chain.state: whether its end was cut off is not looked at"},
    [VERIFY_OPTION_JSON] = {"json", 0, NULL, "one JSON object on standard output"},
    {NULL, 0, NULL, NULL},
};

/* ---- keys ---- */

/* The key of the one kind given for the other is easily done. */
static void refuse_key(struct verify_run *run, const char *path, const char *error)
{
    const char *kind = path == NULL ? NULL : audit_keys_kind(path);

    text_complain("%s%s%s", error, kind == NULL ? "" : ": it is ", kind == NULL ? "" : kind);
    run->report.unreadable = true;
}

static bool load_key(struct verify_run *run, const char *directory, uint8_t key[CHAIN_KEY_SIZE])
{
    const char *given = run->values[VERIFY_OPTION_KEY];
    char error[512] = "", *path = given != NULL       ? memory_format("%s", given)
                                  : directory != NULL ? memory_format("%s/" CHAIN_KEY_NAME, directory)
                                                      : NULL;
    bool missing = path == NULL;
    bool read = path != NULL && chain_key_read(path, key, &missing, error, sizeof(error)) == 0;

    run->report.key = read ? given != NULL ? AUDIT_KEY_GIVEN : AUDIT_KEY_BESIDE : AUDIT_KEY_NONE;
    if (!read && (given != NULL || !missing))
        refuse_key(run, path, error);
    free(path);
    return read;
}

/* As the daemon makes it: beside the signing key. NULL: not known. */
static char *public_path(const struct audit_source *source)
{
    const char *signing = source->config == NULL ? NULL : source->config->audit.chain.signing_key.path;

    if (signing != NULL)
        return checkpoint_public_path(signing);
    return source->directory == NULL ? NULL : memory_format("%s/" CHECKPOINT_PUBLIC_NAME, source->directory);
}

/* Those that may have signed. */
struct public_keys {
    struct checkpoint_public **list;
    size_t count;
};

static void public_keys_free(struct public_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        checkpoint_public_free(keys->list[i]);
    free(keys->list);
}

static void public_keys_add(struct verify_run *run, struct public_keys *keys, const char *path)
{
    char error[512] = "";
    struct checkpoint_public *key = checkpoint_public_read(path, error, sizeof(error));

    if (key == NULL) {
        refuse_key(run, path, error);
        return;
    }
    keys->list = memory_realloc(keys->list, keys->count + 1, sizeof(struct checkpoint_public *));
    keys->list[keys->count++] = key;
}

static void load_public(struct verify_run *run, const struct audit_source *source, struct public_keys *keys)
{
    const char *given = run->values[VERIFY_OPTION_PUBLIC];
    char *beside = given == NULL ? public_path(source) : NULL;

    for (const char *path = given; path != NULL && *path != '\0'; path += strlen(path) + 1)
        public_keys_add(run, keys, path);
    if (beside != NULL && access(beside, F_OK) == 0)
        public_keys_add(run, keys, beside);
    free(beside);
    run->report.public_key = keys->count == 0 ? AUDIT_KEY_NONE
                             : given != NULL  ? AUDIT_KEY_GIVEN
                                              : AUDIT_KEY_BESIDE;
}

/* ---- the command ---- */

static bool is_directory(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The member of a line that names the host. */
static char *host_member(const char *host)
{
    struct buffer text = {0};

    buffer_append(&text, VIEW("\"hostname\":\""));
    json_write_escape(&text, view_of_string(host));
    buffer_append(&text, VIEW("\""));
    char *member = memory_copy_string(buffer_view(&text));
    buffer_release(&text);
    return member;
}

static int verify_source(struct verify_run *run, const struct audit_source *source, int argc, char **argv)
{
    const bool journal = run->input == INPUT_JOURNAL;
    uint8_t key[CHAIN_KEY_SIZE];
    struct public_keys public_keys = {0};
    struct verify_options how = {.repeats = !journal,
        .any_order = run->values[VERIFY_OPTION_ANY_ORDER] != NULL,
        .unchained_before = run->unchained_before};

    load_public(run, source, &public_keys);
    how.public_keys = (const struct checkpoint_public *const *)public_keys.list;
    how.public_key_count = public_keys.count;
    if (source->config != NULL)
        how.interval_events = source->config->audit.chain.checkpoint.events;
    if (load_key(run, source->directory, key))
        how.key = key;
    run->verify = verify_new(&how);
    if (!run->report.unreadable) {
        audit_verify_read(run, source, argc, argv);
        verify_finish(run->verify);
        run->report.journal = journal;
        if (run->values[VERIFY_OPTION_JSON] != NULL)
            audit_report_print_json(&run->report, run->verify);
        else
            audit_report_print(&run->report, run->verify);
    }
    bool found = verify_summary(run->verify)->findings > 0;
    verify_free(run->verify);
    public_keys_free(&public_keys);
    secret_wipe(key, sizeof(key));
    return run->report.unreadable ? CLI_USAGE : found ? CLI_FINDINGS : CLI_OK;
}

/* Sixteen hexadecimal digits, and what an event.id has behind them. */
static bool parse_epoch(const char *text, uint64_t *epoch)
{
    char again[20];

    if (sscanf(text, "%16" SCNx64, epoch) != 1)
        return false;
    snprintf(again, sizeof(again), "%016" PRIx64, *epoch);
    return strncmp(text, again, 16) == 0 && (text[16] == '\0' || text[16] == '-');
}

/* What the words and options are about; CLI_USAGE after a message. */
static int choose_input(struct verify_run *run, const struct cli_command *command, int argc, char **argv)
{
    const char *const *values = run->values;

    if (argc > 0 && (values[VERIFY_OPTION_SINK] != NULL || values[VERIFY_OPTION_CONFIG] != NULL))
        return cli_usage_error(command, "either a configuration, or '%s'", argv[0]);
    run->input = values[VERIFY_OPTION_SINK] != NULL   ? INPUT_SINK
                 : argc == 0 || is_directory(argv[0]) ? INPUT_JOURNAL
                                                      : INPUT_FILES;
    for (int i = 0; i < argc && argc > 1; i++)
        if (is_directory(argv[i]))
            return cli_usage_error(command, "'%s' is a directory: a journal is verified by itself", argv[i]);
    if (run->input == INPUT_JOURNAL && values[VERIFY_OPTION_ANY_ORDER] != NULL)
        return cli_usage_error(command, "--any-order is for copies: a journal has one order");
    if (run->input == INPUT_JOURNAL && values[VERIFY_OPTION_HOST] != NULL)
        return cli_usage_error(command, "--host is for copies: a journal is of one proxy");
    if (run->input != INPUT_JOURNAL && values[VERIFY_OPTION_NO_STATE] != NULL)
        return cli_usage_error(command, "--no-state is for a journal: a copy has no " CHAIN_STATE_NAME);
    if (values[VERIFY_OPTION_UNCHAINED] != NULL &&
        !parse_epoch(values[VERIFY_OPTION_UNCHAINED], &run->unchained_before))
        return cli_usage_error(command,
            "--unchained-before: expected an epoch (16 hexadecimal digits), found '%s'",
            values[VERIFY_OPTION_UNCHAINED]);
    if (run->input != INPUT_FILES && values[VERIFY_OPTION_SKIP] != NULL)
        return cli_usage_error(command, "--skip-other is for files and '-'");
    return CLI_OK;
}

static int run_verify(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    struct verify_run run = {
        .values = values, .progress = values[VERIFY_OPTION_JSON] == NULL && isatty(STDERR_FILENO)};
    struct audit_source source = {0};
    int status = choose_input(&run, command, argc, argv);

    if (status != CLI_OK)
        return status;
    status = audit_source_open(
        &source, values[VERIFY_OPTION_CONFIG], argc > 0 ? argv[0] : NULL, run.input == INPUT_SINK);
    if (run.input == INPUT_FILES)
        source.directory = NULL; /* no keys beside them */
    if (values[VERIFY_OPTION_HOST] != NULL)
        run.host = host_member(values[VERIFY_OPTION_HOST]);
    if (status == CLI_OK)
        status = verify_source(&run, &source, argc, argv);
    audit_source_close(&source);
    free(run.host);
    return status;
}

const struct cli_command cli_audit_verify = {.name = "audit verify",
    .arguments = " [DIR | FILE... | -]",
    .summary = "walk the trail's chain, in the journal or in a copy of it, and name what does not hold",
    .options = options,
    .run = run_verify,
    .options_anywhere = true};
