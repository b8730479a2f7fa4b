/* SPDX-License-Identifier: Apache-2.0 */
/* mqward-bench-scan: what scanning a message costs, beside libyara's own call in the same run and beside one
 * HMAC-SHA-256 of the same bytes. CPU time of the thread; the median of interleaved rounds; ratios are what
 * counts.
 *
 *     mqward-bench-scan [rules ...]       numbers of generated rules, or folders of rules; by default
 *                                         1 10 100 1000 5000
 *     mqward-bench-scan --check [rules ...] exits with 1 unless a message of 128 bytes costs at most a
 * hundredth of libyara's own call; by default 1000 mqward-bench-scan --hold [rules ...]  the longest time
 * that a hostile payload holds a thread whose scans are bounded (scan_request_for_loop())
 *
 * The payloads are telemetry that no rule matches, different from message to message; "views": with all
 * decoded views looked for. */
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <yara.h>

#include "base/memory.h"
#include "generate.h"
#include "machine.h"
#include "rules/generation.h"

#define PAYLOADS 32
#define ROUNDS 9
#define SAMPLE_NS 4000000.0

static const size_t sizes[] = {32, 128, 512, 4096, 65536};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

enum way { WAY_PIPELINE, WAY_VIEWS, WAY_AUTOMATON, WAY_PLAIN, WAY_HMAC, WAYS };

struct bench {
    struct scan_rules *rules, *automaton;
    YR_RULES *plain;
    struct scanner *scanner, *automaton_scanner;
    struct buffer payloads[PAYLOADS];
    EVP_MAC_CTX *mac; /* with its key: as signatures of messages are checked */
};

static double now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int on_message(YR_SCAN_CONTEXT *context, int message, void *data, void *user)
{
    (void)context, (void)data, (void)user;
    assert(message != CALLBACK_MSG_RULE_MATCHING);
    return CALLBACK_CONTINUE;
}

static void scan(struct scanner *scanner, struct scan_rules *rules, struct view payload, unsigned views)
{
    static const struct scan_context context = {.topic = {(const uint8_t *)"a/b", 3}};
    const struct scan_part part = {SCAN_PAYLOAD, payload};
    const struct scan_request request = {.sets = 1,
        .context = &context,
        .parts = &part,
        .part_count = 1,
        .max_scan = 1 << 20,
        .timeout_ns = UINT64_C(1000000000),
        .views = views};
    struct scan_result result;

    scanner_scan(scanner, rules, &request, &result);
    if (result.count != 0 || result.error != NULL)
        abort();
}

static void run(struct bench *bench, enum way way, size_t at)
{
    struct view payload = buffer_view(&bench->payloads[at % PAYLOADS]);
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t length;

    if (way == WAY_PIPELINE)
        scan(bench->scanner, bench->rules, payload, 0);
    else if (way == WAY_VIEWS)
        scan(bench->scanner, bench->rules, payload, SCAN_VIEWS_ALL);
    else if (way == WAY_AUTOMATON)
        scan(bench->automaton_scanner, bench->automaton, payload, 0);
    else if (way == WAY_PLAIN)
        yr_rules_scan_mem(bench->plain, payload.data, payload.length, 0, on_message, NULL, 0);
    else if (EVP_MAC_init(bench->mac, NULL, 0, NULL) != 1 ||
             EVP_MAC_update(bench->mac, payload.data, payload.length) != 1 ||
             EVP_MAC_final(bench->mac, digest, &length, sizeof(digest)) != 1)
        abort();
}

static double sample(struct bench *bench, enum way way)
{
    size_t count = 0, step = 1;
    double start = now_ns(), end;

    do {
        for (size_t i = 0; i < step; i++)
            run(bench, way, count + i);
        count += step;
        step = step < 1024 ? step * 2 : step;
        end = now_ns();
    } while (end - start < SAMPLE_NS);
    return (end - start) / (double)count;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void fill(struct bench *bench, size_t size)
{
    struct random random = {size};

    for (size_t i = 0; i < PAYLOADS; i++) {
        struct buffer *payload = &bench->payloads[i];
        buffer_clear(payload);
        buffer_format(payload, "{\"device\":\"plc-%zu\"", i);
        while (buffer_length(payload) < size)
            buffer_format(payload, ",\"temp%u\":%u.%02u,\"status\":\"%s\"", random_below(&random, 40),
                random_below(&random, 90), random_below(&random, 100),
                random_below(&random, 2) ? "ok" : "running");
        payload->end = payload->start + size;
    }
}

static EVP_MAC_CTX *new_mac(void)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {OSSL_PARAM_utf8_string("digest", digest, 6), OSSL_PARAM_END};

    if (EVP_MAC_init(context, (const uint8_t *)"0123456789abcdef0123456789abcdef", 32, parameters) != 1)
        abort();
    EVP_MAC_free(mac);
    return context;
}

static struct scan_rules *load_folder(const char *path, bool automaton)
{
    struct diag_list *diag = diag_list_new();
    const struct scan_source source = {.name = "bench", .paths = &path, .path_count = 1, .allow_slow = true};
    const struct scan_load how = {.plain = !automaton, .automaton = automaton};
    struct scan_rules *rules = scan_rules_load_with(&source, 1, diag, &how);

    if (rules == NULL) {
        diag_print(diag, stderr);
        exit(1);
    }
    diag_list_free(diag);
    return rules;
}

/* what: a number of rules to generate, or a folder of them. */
static struct scan_rules *load(const char *what, bool automaton)
{
    char folder[FOLDER_SIZE];
    char *end;
    unsigned long count = strtoul(what, &end, 10);
    struct random random = {count};
    struct generated generated;
    struct scan_rules *rules;

    if (*end != '\0' || end == what)
        return load_folder(what, automaton);
    generate_realistic(&generated, &random, (unsigned)count);
    folder_make(folder);
    folder_write(folder, "rules.yar", buffer_view(&generated.text));
    rules = load_folder(folder, automaton);
    folder_remove(folder);
    generated_release(&generated);
    return rules;
}

/* The median of each way. */
static void measure_size(struct bench *bench, size_t size, double medians[WAYS])
{
    double samples[WAYS][ROUNDS];

    fill(bench, size);
    for (unsigned way = 0; way < WAYS; way++)
        run(bench, (enum way)way, 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned way = 0; way < WAYS; way++)
            samples[way][round] = sample(bench, (enum way)way);
    }
    for (unsigned way = 0; way < WAYS; way++) {
        qsort(samples[way], ROUNDS, sizeof(double), compare);
        medians[way] = samples[way][ROUNDS / 2];
    }
}

static void measure(struct bench *bench, size_t count)
{
    double medians[WAYS];

    for (size_t i = 0; i < SIZES; i++) {
        measure_size(bench, sizes[i], medians);
        printf("%6zu %6zu", count, sizes[i]);
        for (unsigned way = 0; way < WAYS; way++)
            printf(" %12.1f", medians[way]);
        printf(" %10.1f %8.2f\n", medians[WAY_PLAIN] / medians[WAY_PIPELINE],
            medians[WAY_PIPELINE] / medians[WAY_HMAC]);
        fflush(stdout);
    }
}

#define CHECK_SIZE 128
#define CHECK_RATIO 100

/* True: it is as much cheaper as it is to be. */
static bool check(struct bench *bench, size_t count)
{
    double medians[WAYS];

    measure_size(bench, CHECK_SIZE, medians);
    double ratio = medians[WAY_PLAIN] / medians[WAY_PIPELINE];
    printf("%zu rules, %d bytes: libyara's call costs %.0f times as much (at least %d), the scan %.2f of an "
           "HMAC\n",
        count, CHECK_SIZE, ratio, CHECK_RATIO, medians[WAY_PIPELINE] / medians[WAY_HMAC]);
    return ratio >= CHECK_RATIO;
}

static bool run_rules(const char *what, bool checks)
{
    struct bench bench = {0};

    double start = now_ns();
    bench.rules = load(what, false);
    double loaded = now_ns();
    bench.automaton = load(what, true);
    struct scan_rules_stats stats = scan_rules_stats(bench.rules);
    printf("# %s: %zu rules, %zu groups, %zu always, %zu literals, %s, loaded in %.0f ms\n", what,
        stats.rules, stats.groups, stats.always_rules, stats.literals, stats.engine, (loaded - start) / 1e6);
    bench.plain = bench.rules->sets[0].whole;
    bench.mac = new_mac();
    bench.scanner = scanner_new();
    bench.automaton_scanner = scanner_new();
    bool good = checks ? check(&bench, stats.rules) : true;
    if (!checks)
        measure(&bench, stats.rules);
    EVP_MAC_CTX_free(bench.mac);
    scanner_free(bench.scanner);
    scanner_free(bench.automaton_scanner);
    scan_rules_release(bench.rules);
    scan_rules_release(bench.automaton);
    for (size_t i = 0; i < PAYLOADS; i++)
        buffer_release(&bench.payloads[i]);
    return good;
}

/* ---- how long is a thread held ---- */

#define HOLD_SIZE (16 * 1024) /* larger ones are not scanned on a loop */
#define HOLD_ROUNDS 400

/* Text of the rules' own strings, so that they are candidates, in one of the forms that views are made of. */
static void make_hostile(
    struct buffer *out, const struct scan_rules *rules, struct random *random, unsigned kind)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buffer text = {0};

    while (buffer_length(&text) < HOLD_SIZE) {
        const YR_RULES *whole = rules->sets[0].whole;
        const YR_STRING *string = &whole->strings_table[random_below(random, whole->num_strings)];
        size_t left = HOLD_SIZE - buffer_length(&text);
        if (STRING_IS_LITERAL(string) && kind % 4 != 3)
            buffer_append(&text,
                view_of(string->string, (size_t)string->length < left ? (size_t)string->length : left));
        else
            buffer_format(&text, "%c", kind % 4 == 3 ? 'a' : ' ' + (char)random_below(random, 90));
    }
    buffer_clear(out);
    if (kind % 4 == 1) { /* base64 */
        const uint8_t *from = text.data + text.start;
        for (size_t i = 0; i + 3 <= HOLD_SIZE / 4 * 3; i += 3) {
            unsigned bits = (unsigned)from[i] << 16 | (unsigned)from[i + 1] << 8 | from[i + 2];
            buffer_format(out, "%c%c%c%c", digits[bits >> 18], digits[bits >> 12 & 63],
                digits[bits >> 6 & 63], digits[bits & 63]);
        }
    } else if (kind % 4 == 2) { /* hex */
        for (size_t i = 0; i < HOLD_SIZE / 2; i++)
            buffer_format(out, "%02x", text.data[text.start + i]);
    } else
        buffer_append(out, buffer_view(&text));
    buffer_release(&text);
}

static void run_hold(const char *what)
{
    static const struct scan_context context = {.topic = {(const uint8_t *)"a/b", 3}};
    struct scan_rules *rules = load(what, false);
    struct scanner *scanner = scanner_new();
    struct random random = {1};

    rules->sets[0].dear = false; /* as with a budget: else libyara is not called here at all */
    struct buffer payload = {0};
    struct scan_result result;
    double worst = 0, total = 0;
    unsigned given_up = 0;

    for (unsigned i = 0; i < HOLD_ROUNDS; i++) {
        make_hostile(&payload, rules, &random, i);
        const struct scan_part part = {SCAN_PAYLOAD, buffer_view(&payload)};
        struct scan_request request = {.sets = 1,
            .context = &context,
            .parts = &part,
            .part_count = 1,
            .max_scan = 1 << 20,
            .timeout_ns = UINT64_C(1000000000),
            .views = SCAN_VIEWS_ALL};
        scan_request_for_loop(&request);
        double start = now_ns();
        scanner_scan(scanner, rules, &request, &result);
        double took = now_ns() - start;
        total += took;
        worst = took > worst ? took : worst;
        given_up += result.given_up;
    }
    printf("%s: hostile payloads of %d bytes: longest %.0f us, mean %.0f us, %u of %d given up\n", what,
        HOLD_SIZE, worst / 1e3, total / HOLD_ROUNDS / 1e3, given_up, HOLD_ROUNDS);
    buffer_release(&payload);
    scanner_free(scanner);
    scan_rules_release(rules);
}

int main(int argc, char **argv)
{
    static const char *const counts[] = {"1", "10", "100", "1000", "5000"}, *const checked[] = {"1000"};
    bool hold = argc > 1 && strcmp(argv[1], "--hold") == 0,
         checks = argc > 1 && strcmp(argv[1], "--check") == 0;
    int first = hold || checks ? 2 : 1;
    const char *const *whats = argc > first ? (const char *const *)argv + first : checks ? checked : counts;
    size_t count = argc > first ? (size_t)(argc - first) : checks ? 1 : sizeof(counts) / sizeof(counts[0]);
    bool good = true;

    if (!hold && !checks)
        printf("%6s %6s %12s %12s %12s %12s %12s %10s %8s\n", "rules", "bytes", "pipeline ns", "views ns",
            "automaton ns", "libyara ns", "HMAC ns", "libyara/p", "p/HMAC");
    for (size_t i = 0; i < count; i++) {
        if (hold)
            run_hold(whats[i]);
        else
            good = run_rules(whats[i], checks) && good;
    }
    return good ? 0 : 1;
}
