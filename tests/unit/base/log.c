/* SPDX-License-Identifier: Apache-2.0 */
/* The process's log, read back from a pipe. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "check.h"

static int pipe_ends[2];

static void setup(void)
{
    cr_assert_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
    log_configure(LOG_INFO, LOG_TEXT, pipe_ends[1]);
}

static void teardown(void)
{
    log_configure(LOG_INFO, LOG_TEXT, STDERR_FILENO);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

TestSuite(log, .init = setup, .fini = teardown);

/* What is in the pipe now, with a NUL behind it. */
static const char *read_pipe(void)
{
    static char text[1 << 18];
    size_t length = 0;
    ssize_t count;

    fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK);
    while ((count = read(pipe_ends[0], text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)count;
    text[length] = '\0';
    return text;
}

/* One line, without its time stamp, whose form is checked here. */
static const char *read_line(void)
{
    const char *text = read_pipe(), *form = "0000-00-00T00:00:00.000000Z ";

    for (size_t i = 0; form[i] != '\0'; i++)
        cr_assert(form[i] == '0' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i], "%s", text);
    return text + strlen(form);
}

Test(log, writes_key_and_value)
{
    LOG_EVENT(LOG_INFO, "listener", "listening", log_string("address", "127.0.0.1:8883"),
        log_unsigned("backlog", 128));
    cr_assert_str_eq(
        read_line(), "level=info component=listener msg=\"listening\" address=127.0.0.1:8883 backlog=128\n");
    LOG_EVENT(LOG_ERROR, "server", "no fields at all");
    cr_assert_str_eq(read_line(), "level=error component=server msg=\"no fields at all\"\n");
}

static void expect_value(struct view value, const char *text)
{
    char expected[256];

    LOG_EVENT(LOG_WARN, "c", "e", log_view("v", value));
    snprintf(expected, sizeof(expected), "level=warn component=c msg=\"e\" v=%s\n", text);
    cr_assert_str_eq(read_line(), expected);
}

Test(log, quotes_and_escapes_so_that_no_peer_forges_a_line)
{
    expect_value(VIEW(""), "\"\"");
    expect_value((struct view){NULL, 0}, "\"\"");
    expect_value(VIEW("two words"), "\"two words\"");
    expect_value(VIEW("a=b"), "\"a=b\"");
    expect_value(VIEW("a\"b"), "\"a\\\"b\"");
    expect_value(VIEW("a\\x41"), "\"a\\\\x41\"");
    expect_value(VIEW("a\nlevel=error"), "\"a\\x0Alevel=error\"");
    expect_value(VIEW("\r\t\x1B[31m\0\x7F"), "\"\\x0D\\x09\\x1B[31m\\x00\\x7F\"");
    expect_value(VIEW("caf\xC3\xA9"), "caf\xC3\xA9");
    expect_value(VIEW("\xFF\xC3"), "\"\\xFF\\xC3\"");
    expect_value(VIEW("\xC2\x9B"), "\"\\xC2\\x9B\"");
    expect_value(VIEW("\xE2\x80\xA8"), "\"\\xE2\\x80\\xA8\"");
    expect_value(VIEW("\u202e"), "\"\\xE2\\x80\\xAE\""); /* an override of the direction */
    expect_value(VIEW("\u2066"), "\"\\xE2\\x81\\xA6\"");
    expect_value(VIEW("\u200b"), "\"\\xE2\\x80\\x8B\""); /* nothing to be seen of it */
    expect_value(VIEW("a\u00a0b=c"), "\"a\\xC2\\xA0b=c\"");
    expect_value(VIEW("温度"), "温度");
    expect_value(VIEW("\xED\xA0\x80"), "\"\\xED\\xA0\\x80\"");
}

Test(log, cuts_long_values_with_a_mark)
{
    static char topic[65535];

    memset(topic, 'a', sizeof(topic));
    LOG_EVENT(LOG_INFO, "c", "e", log_view("topic", view_of(topic, sizeof(topic))), log_unsigned("n", 1));
    const char *line = read_line();
    cr_assert_lt(strlen(line), 1200);
    cr_assert_str_eq(line + strlen(line) - 13, "aaaa\"... n=1\n");
}

Test(log, writes_json)
{
    log_configure(LOG_INFO, LOG_JSON, pipe_ends[1]);
    LOG_EVENT(LOG_INFO, "upstream", "connected", log_string("address", "a\"\n"), log_unsigned("port", 1883));
    const char *line = read_pipe();
    cr_assert_eq(strncmp(line, "{\"@timestamp\":\"2", 16), 0, "%s", line);
    cr_assert_str_eq(line + 43,
        ",\"log.level\":\"info\",\"log.logger\":\"upstream\",\"message\":\"connected\","
        "\"address\":\"a\\\"\\n\",\"port\":1883}\n");
}

Test(log, is_silent_below_its_level)
{
    LOG_EVENT(LOG_DEBUG, "c", "not shown");
    cr_assert_str_eq(read_pipe(), "");
    cr_assert_not(log_enabled(LOG_DEBUG));
    log_configure(LOG_DEBUG, LOG_TEXT, pipe_ends[1]);
    LOG_EVENT(LOG_DEBUG, "c", "shown");
    cr_assert_str_eq(read_line(), "level=debug component=c msg=\"shown\"\n");
    log_configure(LOG_ERROR, LOG_TEXT, pipe_ends[1]);
    LOG_EVENT(LOG_WARN, "c", "not shown");
    cr_assert_str_eq(read_pipe(), "");
}

Test(log, leaves_errno_alone)
{
    log_configure(LOG_INFO, LOG_TEXT, -1);
    errno = ENOENT;
    LOG_EVENT(LOG_INFO, "c", "to nowhere");
    cr_assert_eq(errno, ENOENT);
}

static unsigned count_lines(const char *text)
{
    unsigned lines = 0;

    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

Test(log, limits_a_place_and_tells_what_it_left_out)
{
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++)
            LOG_LIMITED(LOG_WARN, "codec", "bad packet", log_unsigned("i", (uint64_t)i));
        LOG_LIMITED(LOG_WARN, "codec", "another place has its own limit");
        const char *text = read_pipe();
        unsigned lines = count_lines(text);
        /* A second may end within the loop; then there are more, and the sum is not known. */
        cr_assert(lines >= 11 && lines <= 21, "%u", lines);
        if (lines > 11)
            return;
        cr_assert_eq(strstr(text, "suppressed=990\n") != NULL, round == 1, "%s", text);
        usleep(1100000);
    }
}

static struct log_limit shared_limit = {.burst = 100};

static void *log_many(void *unused)
{
    for (int i = 0; i < 5000; i++)
        log_write(LOG_INFO, &shared_limit, "thread", "line", NULL, 0);
    return unused;
}

Test(log, threads_share_a_limit_and_never_mix_lines)
{
    pthread_t threads[4];
    unsigned long long written = 0, suppressed = 0, start = clock_monotonic_ms() / 1000;

    fcntl(pipe_ends[1], F_SETPIPE_SZ, 1 << 18);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, log_many, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    usleep(1100000);
    log_write(LOG_INFO, &shared_limit, "thread", "line", NULL, 0);
    char *text = (char *)(uintptr_t)read_pipe(), *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        static const char common[] = " level=info component=thread msg=\"line\"";
        unsigned long long count = 0;
        CHECK(strncmp(line + 27, common, sizeof(common) - 1) == 0, "%s", line);
        sscanf(line + 27 + sizeof(common) - 1, " suppressed=%llu", &count);
        suppressed += count;
        written++;
    }
    cr_assert_eq(written + suppressed, 20001);
    /* From before the first second to after the last. */
    cr_assert_leq(written, 100 * (clock_monotonic_ms() / 1000 - start + 1));
}

Test(log, drops_when_nobody_reads_and_says_so_later)
{
    fcntl(pipe_ends[1], F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 3000; i++)
        LOG_EVENT(LOG_INFO, "c", "a line of some length, so that the pipe is full soon");
    unsigned lines = count_lines(read_pipe());
    cr_assert_gt(lines, 100);
    cr_assert_lt(lines, 3000);
    char expected[64];
    snprintf(expected, sizeof(expected), "level=info component=c msg=\"e\" dropped=%u\n", 3000 - lines);
    LOG_EVENT(LOG_INFO, "c", "e");
    cr_assert_str_eq(read_line(), expected);
    LOG_EVENT(LOG_INFO, "c", "e");
    cr_assert_str_eq(read_line(), "level=info component=c msg=\"e\"\n");
}

/* A line above PIPE_BUF can be taken in part; the rest is lost, but what follows starts on a line of its own.
 */
Test(log, a_line_that_was_cut_short_is_ended)
{
    static char filler[1 << 20], value[1000];

    memset(value, 'v', sizeof(value));
    fcntl(pipe_ends[1], F_SETFL, O_NONBLOCK);
    /* All but one page. */
    size_t filled = (size_t)fcntl(pipe_ends[1], F_GETPIPE_SZ) - 4096;
    cr_assert(filled <= sizeof(filler) && write(pipe_ends[1], filler, filled) == (ssize_t)filled);
    struct view v = view_of(value, sizeof(value));
    LOG_EVENT(LOG_INFO, "c", "long", log_view("a", v), log_view("b", v), log_view("d", v), log_view("f", v),
        log_view("g", v));
    read_pipe();
    LOG_EVENT(LOG_INFO, "c", "next");
    const char *text = read_pipe();
    cr_assert_eq(text[0], '\n');
    cr_assert_str_eq(text + 1 + 28, "level=info component=c msg=\"next\" dropped=1\n");
}

static volatile sig_atomic_t interruptions;

static void interrupt(int number)
{
    (void)number;
    interruptions++;
}

static void *read_slowly(void *unused)
{
    static char text[1 << 20];
    struct buffer *all = unused;
    ssize_t count;

    while ((count = read(pipe_ends[0], text, 3000)) > 0) {
        buffer_append(all, view_of(text, (size_t)count));
        usleep(100);
    }
    return NULL;
}

Test(log, signals_tear_no_lines)
{
    struct sigaction action = {.sa_handler = interrupt}; /* no SA_RESTART */
    const struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    struct buffer all = {0};
    static char value[900];
    sigset_t alarm, before;
    pthread_t reader;

    memset(value, 'v', sizeof(value));
    struct view v = view_of(value, sizeof(value));
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, &before);
    pthread_create(&reader, NULL, read_slowly, &all);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < 200; i++)
        LOG_EVENT(LOG_INFO, "c", "e", log_view("a", v), log_view("b", v), log_view("d", v), log_view("f", v),
            log_view("g", v));
    setitimer(ITIMER_REAL, &never, NULL);
    close(pipe_ends[1]);
    pthread_join(reader, NULL);
    struct view text = buffer_view(&all);
    size_t line = 27 + strlen(" level=info component=c msg=\"e\"") + 5 * (strlen(" a=") + sizeof(value)) + 1;
    cr_assert_eq(text.length, 200 * line);
    for (size_t i = 1; i <= 200; i++)
        CHECK(text.data[i * line - 1] == '\n');
    cr_assert_gt(interruptions, 0);
    buffer_release(&all);
    log_configure(LOG_INFO, LOG_TEXT, STDERR_FILENO);
}
