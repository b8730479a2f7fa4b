/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the worker, the connection and the sockets of the benchmark of the whole path. Called by micro_path.c.
 */
#include "micro_world.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <ftw.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "micro.h"
#include "micro_tls.h"
#include "proxy/bans.h"
#include "proxy/denials.h"
#include "proxy/dial.h"
#include "proxy/rates.h"

#define ARRIVED_MAX ((size_t)256 * 1024)
#define TURNS_MAX 64 /* of the loop, until all has arrived */

/* An end of the connection that is the benchmark's, and what it got last. */
struct far_end {
    int fd;
    SSL *ssl;      /* NULL: plain */
    size_t record; /* bytes */
    size_t length;
    uint8_t bytes[ARRIVED_MAX];
};

struct world {
    struct world *next; /* in the list of those that are there */
    char folder[256];
    struct snapshot *snapshot;
    struct worker_shared shared;
    struct worker_replay replay; /* not shared */
    struct worker *worker;
    struct conn *conn;
    struct far_end client, broker;
};

/* ---- dialling: there is nobody to be reached ---- */

static struct {
    dial_callback *callback;
    void *argument;
} dialled;

struct dial *__wrap_dial_new(struct event_base *base, struct evdns_base *dns, const char *host, uint16_t port,
    dial_callback *callback, void *argument);
void __wrap_dial_free(struct dial *dial);

struct dial *__wrap_dial_new(struct event_base *base, struct evdns_base *dns, const char *host, uint16_t port,
    dial_callback *callback, void *argument)
{
    (void)base, (void)dns, (void)host, (void)port;
    dialled.callback = callback;
    dialled.argument = argument;
    return (struct dial *)&dialled;
}

void __wrap_dial_free(struct dial *dial)
{
    (void)dial;
}

/* ---- files ---- */

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "micro_world: %s: %s\n", what, why);
    exit(1);
}

static void write_file(const struct world *world, const char *name, const char *text)
{
    char *path = memory_format("%s/%s", world->folder, name);
    FILE *file = fopen(path, "we");

    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0 || chmod(path, 0600) != 0)
        fail(path, strerror(errno));
    free(path);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

static void remove_folder(const struct world *world)
{
    nftw(world->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* However the program ends, but for a crash. */
static struct world *worlds;

static void remove_folders(void)
{
    for (const struct world *world = worlds; world != NULL; world = world->next)
        remove_folder(world);
}

static void make_folder(struct world *world)
{
    const char *where = getenv("TMPDIR");

    snprintf(world->folder, sizeof(world->folder), "%s/mqward-bench-XXXXXX", where == NULL ? "/tmp" : where);
    if (mkdtemp(world->folder) == NULL)
        fail(world->folder, strerror(errno));
    if (worlds == NULL)
        atexit(remove_folders);
    world->next = worlds;
    worlds = world;
}

static void write_files(const struct world *world, const struct world_terms *terms)
{
    char *config = memory_format("version: 1\nworkers: 1\npolicy: policy.yaml\n"
                                 "listeners:\n  - {name: bench, address: \"127.0.0.1:0\", %s}\n"
                                 "upstreams:\n  - {name: sink, address: \"127.0.0.1:1883\"}\n"
                                 "audit: {directory: audit, ring: 4MiB}\n%s%s",
        terms->tls ? "tls: {certificate: server.pem, key: server.key}" : "plaintext: true",
        terms->has_key ? "keys: keys.yaml\n" : "", terms->config == NULL ? "" : terms->config);
    char *policy =
        memory_format("version: 1\npolicy: bench\nidentity:\n  - anonymous: {id: \"" WORLD_CLIENT "\"}\n"
                      "groups:\n  fleet: {source: anonymous}\n%s",
            terms->rules);
    char *audit = memory_format("%s/audit", world->folder);

    write_file(world, "mqward.yaml", config);
    write_file(world, "policy.yaml", policy);
    if (terms->has_key) {
        write_file(
            world, "m25a.secret", "8f1d4b7a90c3e62558ab0f7712de349c6b05fe81a2d9437c1e60b8954df2ca37\n");
        write_file(world, "keys.yaml",
            "version: 1\nkeys: [{kid: m25a, type: master, alg: HMAC-SHA-256, secret: {file: "
            "m25a.secret}}]\n");
    }
    if (terms->tls)
        micro_tls_identity(world->folder);
    if (mkdir(audit, 0700) != 0)
        fail(audit, strerror(errno));
    free(config);
    free(policy);
    free(audit);
}

/* ---- the worker, as server.c makes it ---- */

static void load(struct world *world)
{
    struct diag_list *diag = diag_list_new();
    char *path = memory_format("%s/mqward.yaml", world->folder);

    world->snapshot = snapshot_load(path, diag);
    if (world->snapshot == NULL) {
        diag_print(diag, stderr);
        exit(1);
    }
    diag_list_free(diag);
    free(path);
}

static struct exporter *open_exporter(const struct world *world)
{
    const struct config_audit *audit = &world->snapshot->config->audit;
    const struct exporter_settings settings = {.directory = audit->directory.path,
        .fsync = EXPORTER_FSYNC_NEVER,
        .segment_bytes = audit->segment_bytes,
        .quota_bytes = audit->quota_bytes,
        .ring_bytes = audit->ring_bytes,
        .rings = 2,
        .hostname = "edge-1",
        .aggregate_ms = audit->aggregate_ms};
    char error[512] = "";
    struct exporter *exporter = exporter_open(&settings, error, sizeof(error));

    if (exporter == NULL)
        fail("the audit trail", error);
    return exporter;
}

static void make_worker(struct world *world)
{
    world->shared = (struct worker_shared){.registry = registry_new(),
        .exporter = open_exporter(world),
        .denials = denials_new(),
        .bans = bans_new(),
        .rates = rates_new(RATES_IDLE_BYTES),
        .replays = replay_new(&(struct replay_limits){0}),
        .replay = &world->replay};
    snapshot_attach(world->snapshot, world->shared.registry);
    world->worker = worker_new(0, "00000001", world->snapshot, &world->shared);
    if (world->worker == NULL)
        fail("worker", strerror(errno));
}

/* ---- bytes ---- */

static void turn(void *argument)
{
    struct world *world = argument;

    micro_count(true);
    event_base_loop(world->worker->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    micro_count(false);
}

static void send_all(struct far_end *end, struct view bytes)
{
    if (end->ssl != NULL)
        micro_tls_send(end->ssl, bytes, end->record);
    else if (send(end->fd, bytes.data, bytes.length, MSG_NOSIGNAL) != (ssize_t)bytes.length)
        fail("send", strerror(errno));
}

static void take_arrived(struct far_end *end)
{
    ssize_t got;

    if (end->ssl != NULL) {
        size_t some;

        while ((some = micro_tls_receive(end->ssl, end->bytes + end->length, ARRIVED_MAX - end->length)) > 0)
            end->length += some;
        return;
    }
    if (end->fd < 0)
        return;
    while ((got = recv(end->fd, end->bytes + end->length, ARRIVED_MAX - end->length, MSG_DONTWAIT)) > 0)
        end->length += (size_t)got;
    if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
        fail("a socket", got == 0 ? "mqward has closed it" : strerror(errno));
}

void world_pass(struct world *world, bool from_client, struct view bytes, size_t passed, size_t answered)
{
    struct far_end *from = from_client ? &world->client : &world->broker;
    struct far_end *to = from_client ? &world->broker : &world->client;

    from->length = to->length = 0;
    send_all(from, bytes);
    for (int turns = 0; to->length < passed || from->length < answered || turns == 0; turns++) {
        if (turns == TURNS_MAX)
            fail("bytes", "they do not arrive");
        turn(world);
        take_arrived(to);
        take_arrived(from);
    }
    if (to->length != passed || from->length != answered)
        fail("bytes", "more have arrived than were expected");
}

struct view world_arrived(const struct world *world, bool at_broker)
{
    const struct far_end *end = at_broker ? &world->broker : &world->client;

    return view_of(end->bytes, end->length);
}

size_t world_told(struct world *world)
{
    size_t bytes = ring_used(world->worker->ring);

    ring_discard(world->worker->ring);
    return bytes;
}

void world_set_record(struct world *world, size_t bytes)
{
    world->client.record = bytes;
}

void world_key(const struct world *world, struct mps1_key *key)
{
    const struct keyring_entry *entry = keyring_entry(world->snapshot->keys, 0);
    uint8_t secret[MPS1_TAG_MAX];

    keyring_derive(entry, MPS1_DEVICE, VIEW("m25a"), VIEW(WORLD_CLIENT), secret);
    mps1_key_init(key, MPS1_HMAC_SHA_256, view_of(secret, mps1_tag_size(MPS1_HMAC_SHA_256)));
}

/* ---- the connection ---- */

static int make_pair(struct far_end *end)
{
    int fds[2], size = 1 << 20;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        fail("socketpair", strerror(errno));
    for (int i = 0; i < 2; i++)
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    end->fd = fds[0];
    return fds[1];
}

/* Sends a packet, and lets the worker do whatever it leads to. */
static void send_packet(struct world *world, bool from_client, const struct mqtt_packet *packet)
{
    struct far_end *from = from_client ? &world->client : &world->broker;
    struct buffer bytes = {0};

    mqtt_encode(packet, &bytes);
    send_all(from, buffer_view(&bytes));
    for (int i = 0; i < 4; i++)
        turn(world);
    take_arrived(&world->client);
    take_arrived(&world->broker);
    buffer_release(&bytes);
}

static void connect_client(struct world *world, enum mqtt_version version)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(51724), .sin_addr.s_addr = htonl(0xc0000201)};
    const struct mqtt_packet connect = {.type = MQTT_CONNECT,
        .version = version,
        .u.connect = {.version = version, .clean_start = true, .client_id = VIEW(WORLD_CLIENT)}};
    const struct mqtt_packet connack = {.type = MQTT_CONNACK, .version = version};

    conn_accept(
        world->worker, &world->snapshot->services[0], make_pair(&world->client), (const void *)&address);
    world->conn = world->worker->conns;
    world->broker.fd = -1;
    world->client.record = SIZE_MAX;
    if (world->snapshot->services[0].tls != NULL)
        world->client.ssl = micro_tls_connect(world->client.fd, turn, world);
    send_packet(world, true, &connect);
    if (dialled.callback == NULL)
        fail("CONNECT", "the broker is not dialled");
    dialled.callback(dialled.argument, make_pair(&world->broker), "127.0.0.1", NULL);
    dialled.callback = NULL;
    take_arrived(&world->broker); /* CONNECT */
    send_packet(world, false, &connack);
    if (!session_is_open(world->conn->session))
        fail("CONNECT", "the session is not open");
}

struct world *world_new(const struct world_terms *terms)
{
    struct world *world = memory_calloc(1, sizeof(*world));

    make_folder(world);
    log_configure(LOG_ERROR, LOG_TEXT, STDERR_FILENO);
    write_files(world, terms);
    load(world);
    make_worker(world);
    connect_client(world, terms->version);
    return world;
}

void world_free(struct world *world)
{
    SSL_free(world->client.ssl);
    conn_free(world->conn);
    worker_free(world->worker);
    exporter_close(world->shared.exporter, 0);
    registry_free(world->shared.registry);
    denials_free(world->shared.denials);
    bans_free(world->shared.bans);
    rates_free(world->shared.rates);
    replay_free(world->shared.replays);
    snapshot_release(world->snapshot);
    close(world->client.fd);
    close(world->broker.fd);
    remove_folder(world);
    for (struct world **at = &worlds; *at != NULL; at = &(*at)->next)
        if (*at == world) {
            *at = world->next;
            break;
        }
    free(world);
}
