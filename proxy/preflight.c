/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is looked at before a start, in the order of the start (server.c). Called by the subcommand
 * check. */
#include "proxy/preflight.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "exporters/audit_directory.h"
#include "exporters/checkpoint.h"
#include "exporters/credentials.h"
#include "exporters/sink_kafka.h"
#include "proxy/listen_address.h"
#include "proxy/quarantine_folder.h"
#include "proxy/server_internal.h"
#include "proxy/unix_socket.h"

#define ERROR_SIZE 768

struct preflight {
    struct diag_list *diag;
    struct arena *arena;
};

static const char make_folder[] =
    "make it, or leave that to what starts mqward (RuntimeDirectory=, StateDirectory=)";

/* ---- folders ---- */

/* What a folder is wanted for, as access(2) has it. */
#define FOLDER_WRITE (W_OK | X_OK)
#define FOLDER_ALL (R_OK | W_OK | X_OK)

/* NULL: it can be used so. */
static const char *folder_fault(const char *path, int use)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return strerror(errno);
    if (!S_ISDIR(status.st_mode))
        return strerror(ENOTDIR);
    return faccessat(AT_FDCWD, path, use, AT_EACCESS) == 0 ? NULL : strerror(errno);
}

/* What is not there yet, and the start makes where its folder is there. */
static void check_can_be_made(
    const struct preflight *preflight, const char *keyword, const char *path, const struct diag_place *place)
{
    size_t length = strlen(path);
    struct stat status;

    while (length > 1 && path[length - 1] == '/') /* "x/" lies in the same folder as "x" */
        length--;
    const char *stripped = arena_copy_string(preflight->arena, view_of(path, length));
    const char *folder = path_folder(preflight->arena, stripped);
    if (stat(folder, &status) != 0 && errno == ENOENT) {
        diag_add(preflight->diag, DIAG_WARNING, place, make_folder,
            "%s: the folder of '%s' is not there, and mqward does not start without it", keyword, path);
        return;
    }
    const char *fault = folder_fault(folder, FOLDER_WRITE);
    if (fault != NULL)
        diag_add(
            preflight->diag, DIAG_ERROR, place, NULL, "%s: '%s' can't be made: %s", keyword, path, fault);
}

/* A folder of mqward's own. True: it is there, and can be looked into. */
static bool check_own_folder(
    const struct preflight *preflight, const char *keyword, const struct config_path *path)
{
    struct stat status;

    if (stat(path->path, &status) != 0 && errno == ENOENT) {
        check_can_be_made(preflight, keyword, path->path, &path->place);
        return false;
    }
    const char *fault = folder_fault(path->path, FOLDER_ALL);
    if (fault != NULL)
        diag_add(preflight->diag, DIAG_ERROR, &path->place, NULL, "%s: '%s' can't be used: %s", keyword,
            path->path, fault);
    return fault == NULL;
}

/* ---- the audit trail ---- */

/* The start makes the audit directory, and then what is in it. */
static bool is_made_first(
    const struct preflight *preflight, const char *path, const struct config_path *directory)
{
    return strcmp(path_real(preflight->arena, path_folder(preflight->arena, path)),
               path_real(preflight->arena, directory->path)) == 0;
}

/* Without a key there is one made. */
static void check_signing_key(const struct preflight *preflight, const struct config_audit *audit)
{
    const struct config_path *given = &audit->chain.signing_key;
    const struct diag_place *place = given->path == NULL ? &audit->directory.place : &given->place;
    const char *path = given->path != NULL
                           ? given->path
                           : arena_format(preflight->arena, "%s/" CHECKPOINT_KEY_NAME, audit->directory.path);
    char error[ERROR_SIZE] = "";
    bool missing = false;
    struct checkpoint_key *key = checkpoint_key_read(path, &missing, error, sizeof(error));

    if (key == NULL && !missing)
        diag_add(preflight->diag, DIAG_ERROR, place, NULL, "signing_key: %s", error);
    if (key == NULL && missing && !is_made_first(preflight, path, &audit->directory))
        check_can_be_made(preflight, "signing_key", path, place);
    checkpoint_key_free(key);
}

struct directory_report {
    const struct preflight *preflight;
    const struct diag_place *place;
};

static void report_file(void *argument, const char *sentence)
{
    const struct directory_report *report = argument;

    diag_add(report->preflight->diag, DIAG_ERROR, report->place,
        "what lies there must be a file of the user's that mqward runs as", "directory: %s", sentence);
}

/* What is damaged is set aside by the start; what can't be opened ends it. */
static void check_audit_files(const struct preflight *preflight, const struct config_path *directory)
{
    struct directory_report report = {preflight, &directory->place};

    audit_directory_examine(directory->path, report_file, &report);
}

/* The start does not end for it: the sink gets everything again that the journal has. */
static void check_cursor(
    const struct preflight *preflight, const struct config_path *directory, const char *name)
{
    const char *path = arena_format(preflight->arena, "%s/%s.cursor", directory->path, name);
    int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (descriptor != -1)
        close(descriptor);
    else if (errno != ENOENT)
        diag_add(preflight->diag, DIAG_WARNING, &directory->place,
            "what lies there must be a file of the user's that mqward runs as",
            "directory: %s: %s: sink '%s' starts with the oldest event", path, strerror(errno), name);
}

/* The caret stands where the file is named. */
static bool check_credentials(const struct preflight *preflight, const char *who,
    const struct diag_place *place, const struct config_upstream_tls *tls, const char *password_file)
{
    char error[ERROR_SIZE] = "";

    if (server_credentials_check(tls, password_file, error, sizeof(error)))
        return true;
    diag_add(preflight->diag, DIAG_ERROR, place, NULL, "%s: %s", who, error);
    return false;
}

/* Certificate and authorities by themselves, so that each is found at its place. */
static bool check_tls(
    const struct preflight *preflight, const char *who, const struct config_upstream_tls *tls)
{
    bool good = true;

    if (tls != NULL && tls->ca != NULL) {
        const struct config_upstream_tls alone = {.ca = tls->ca, .verify = true};
        good = check_credentials(preflight, who, &tls->ca->file.place, &alone, NULL);
    }
    if (tls != NULL && tls->certificate.path != NULL) {
        const struct config_upstream_tls alone = {
            .certificate = tls->certificate, .key = tls->key, .verify = true};
        good = check_credentials(preflight, who, &tls->certificate.place, &alone, NULL) && good;
    }
    return good;
}

static bool check_password(const struct preflight *preflight, const char *who, const struct config_path *file)
{
    return file->path == NULL || check_credentials(preflight, who, &file->place, NULL, file->path);
}

static void check_redis(
    const struct preflight *preflight, const char *who, const struct config_redis_server *redis)
{
    check_tls(preflight, who, redis->access.tls);
    check_password(preflight, who, &redis->access.password_file);
    if (redis->sentinel != NULL) {
        check_tls(preflight, who, redis->sentinel->access.tls);
        check_password(preflight, who, &redis->sentinel->access.password_file);
    }
}

/* The library judges the settings together, and only when their files are good, so that what is said of the
 * whole is not what was said of a part. */
static void check_kafka(const struct preflight *preflight, const char *who, const struct config_sink *sink)
{
    const struct config_kafka *config = sink->kafka;
    struct credentials *credentials = NULL;
    struct exporter_kafka kafka;
    char error[ERROR_SIZE] = "", warning[ERROR_SIZE] = "";
    bool files = check_tls(preflight, who, config->tls);

    if (config->sasl != NULL)
        files = check_password(preflight, who, &config->sasl->password_file) && files;
    if (files && server_kafka_fill(&kafka, config, &credentials) == 0 &&
        !sink_kafka_try(&kafka, error, sizeof(error), warning, sizeof(warning)))
        diag_add(preflight->diag, DIAG_ERROR, &sink->place, NULL, "%s: %s", who, error);
    if (warning[0] != '\0')
        diag_add(preflight->diag, DIAG_WARNING, &sink->place, NULL, "%s: %s", who, warning);
    credentials_free(credentials);
}

/* NULL: none. What is there is appended to; what is not is made, and what rotates is renamed. */
static const char *file_fault(const struct preflight *preflight, const struct config_sink_file *file)
{
    const char *path = file->path.path;
    struct stat status;

    if (lstat(path, &status) == 0) {
        if (!S_ISREG(status.st_mode))
            return "it is no file";
        if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) != 0)
            return strerror(errno);
        if (file->max_size == 0)
            return NULL;
    }
    return folder_fault(path_folder(preflight->arena, path), FOLDER_WRITE);
}

/* The start does not look at it: the sink waits until its file can be opened. */
static void check_file(const struct preflight *preflight, const char *who, const struct config_sink *sink)
{
    const struct config_path *path = &sink->file->path;
    const char *fault = file_fault(preflight, sink->file);

    if (fault != NULL)
        diag_add(preflight->diag, DIAG_WARNING, &path->place,
            "its folder must be there, and mqward's to write to",
            "%s: '%s' can't be written, and the sink delivers nothing: %s", who, path->path, fault);
}

static void check_audit(const struct preflight *preflight, const struct config_audit *audit)
{
    bool there = check_own_folder(preflight, "directory", &audit->directory);

    if (there)
        check_audit_files(preflight, &audit->directory);
    if (there || audit->chain.signing_key.path != NULL)
        check_signing_key(preflight, audit);
    for (size_t i = 0; i < audit->sink_count; i++) {
        const struct config_sink *sink = &audit->sinks[i];
        const char *who = arena_format(preflight->arena, "sink '%s'", sink->name);

        if (there)
            check_cursor(preflight, &audit->directory, sink->name);
        if (sink->redis != NULL)
            check_redis(preflight, who, &sink->redis->server);
        if (sink->kafka != NULL)
            check_kafka(preflight, who, sink);
        if (sink->file != NULL)
            check_file(preflight, who, sink);
        if (sink->syslog != NULL)
            check_tls(preflight, who, sink->syslog->tls);
    }
}

/* ---- where it listens ---- */

static void check_socket(const struct preflight *preflight, const char *keyword, const char *what,
    const char *path, const struct diag_place *place)
{
    char error[ERROR_SIZE] = "";
    bool missing;

    if (path != NULL && unix_socket_check(path, what, &missing, error, sizeof(error)) != 0)
        diag_add(preflight->diag, missing ? DIAG_WARNING : DIAG_ERROR, place, missing ? make_folder : NULL,
            "%s: %s", keyword, error);
}

/* Any port will do: the one that is meant is taken while mqward runs. */
static void check_address(const struct preflight *preflight, const struct config_address *address,
    const char *why, const char *what)
{
    const char *error = NULL;
    int fd;

    if (address->host == NULL)
        return;
    fd = listen_address_bind(address, 0, false, &error);
    if (fd >= 0)
        close(fd);
    else
        diag_add(preflight->diag, DIAG_WARNING, &address->place, why, "this machine can't %s '%s': %s", what,
            address->text, error);
}

static void check_listener(const struct preflight *preflight, const struct config_address *address)
{
    check_address(
        preflight, address, "mqward starts only if it can listen on all of its addresses", "listen on");
}

static void check_sources(const struct preflight *preflight, const struct config_upstream *upstream)
{
    for (size_t i = 0; i < upstream->sources.count; i++)
        check_address(preflight, &upstream->sources.items[i],
            "connections that would begin there begin at the next of source_addresses", "connect from");
}

static void check_listening(const struct preflight *preflight, const struct config *config)
{
    check_socket(
        preflight, "socket", "control socket", config->control_socket.path, &config->control_socket.place);
    check_socket(
        preflight, "listen", "admin socket", config->admin.listen.unix_path, &config->admin.listen.place);
    check_listener(preflight, &config->admin.listen);
    for (size_t i = 0; i < config->listener_count; i++)
        check_listener(preflight, &config->listeners[i].address);
    for (size_t i = 0; i < config->upstream_count; i++)
        check_sources(preflight, &config->upstreams[i]);
}

/* ---- the quarantine ---- */

static void check_quarantine(const struct preflight *preflight, const struct config_path *directory)
{
    char error[ERROR_SIZE] = "";

    if (directory->path != NULL && check_own_folder(preflight, "directory", directory) &&
        quarantine_folder_check(directory->path, error, sizeof(error)) != 0)
        diag_add(preflight->diag, DIAG_ERROR, &directory->place, NULL, "directory: %s", error);
}

/* ---- the whole ---- */

void preflight_check(const struct config *config, struct diag_list *diag)
{
    const struct preflight preflight = {diag, arena_new()};

    check_audit(&preflight, &config->audit);
    check_listening(&preflight, config);
    if (config->replay.redis != NULL)
        check_redis(&preflight, "replay.redis", &config->replay.redis->server);
    check_quarantine(&preflight, &config->scan.quarantine.directory);
    arena_free(preflight.arena);
}
