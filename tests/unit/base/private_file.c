/* SPDX-License-Identifier: Apache-2.0 */
/* Files with secrets: what is read, what is refused, that nothing waits, and how new ones are made. */
#include "base/private_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/mqward-private-XXXXXX";

static void begin(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    int file = open("file", O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(file, "secret", 6), 6);
    close(file);
    cr_assert_eq(symlink("file", "link"), 0);
    cr_assert_eq(mkfifo("pipe", 0600), 0);
    cr_assert_eq(mkdir("folder", 0700), 0);
}

static void end(void)
{
    unlink("file");
    unlink("link");
    unlink("pipe");
    rmdir("folder");
    rmdir(folder);
}

TestSuite(private_file, .init = begin, .fini = end);

static ssize_t read_mode(mode_t mode, struct private_file_error *error)
{
    char text[16];
    cr_assert_eq(chmod("file", mode), 0);
    return private_file_read("file", text, sizeof(text), error);
}

Test(private_file, the_owner_alone_may_have_rights)
{
    struct private_file_error error;
    cr_expect_eq(read_mode(0600, &error), 6);
    cr_expect_eq(read_mode(0400, &error), 6);
    cr_expect_eq(read_mode(0700, &error), 6);
    for (mode_t bit = 1; bit <= 040; bit <<= 1) {
        char expected[64];
        snprintf(expected, sizeof(expected), "it is open to other users of this machine (mode 6%02o)", bit);
        cr_expect_eq(read_mode(0600 | bit, &error), -1, "mode %03o", 0600 | bit);
        cr_expect_str_eq(error.message, expected);
        cr_expect_str_eq(error.hint, "chmod 600");
        cr_expect_not(error.missing);
    }
}

/* As orchestrators hand out secrets: root's, for a group of who reads it. */
struct given {
    const char *what;
    uid_t owner;
    gid_t group;
    mode_t mode;
    bool from_root, strict; /* which of the readers takes it */
};

static const struct given givens[] = {
    {"for the main group", 0, 7001, 0440, true, false},
    {"for another of its groups", 0, 7002, 0440, true, false},
    {"root may write it", 0, 7002, 0640, true, false},
    {"its group may write it", 0, 7001, 0460, false, false},
    {"its group may execute it", 0, 7001, 0450, false, false},
    {"all may read it", 0, 7001, 0444, false, false},
    {"for a group of others", 0, 7003, 0440, false, false},
    {"its own, for its group", 7000, 7001, 0440, false, false},
    {"somebody else's, for its group", 7004, 7001, 0440, false, false},
    {"its own, for nobody else", 7000, 7003, 0400, true, true},
};

/* What the reader with the groups 7001 and 7002 says.. */
static void read_given(const struct given *given)
{
    struct private_file_error error;
    char text[16];

    cr_expect_eq(private_file_read_from_root("file", text, sizeof(text), &error) == 6, given->from_root,
        "%s: %s", given->what, error.message);
    if (!given->from_root && given->owner == 0 && given->group != 7003)
        cr_expect_str_eq(error.hint, "chmod 600; or owner root, a group of mqward's user, and chmod 440");
    cr_expect_eq(private_file_read("file", text, sizeof(text), &error) == 6, given->strict, "%s: strict: %s",
        given->what, error.message);
}

Test(private_file, a_group_may_read_what_root_gives_it_where_that_is_allowed)
{
    static const gid_t others[] = {7002};
    if (geteuid() != 0) /* only root can give files away */
        return;
    cr_assert_eq(chmod(".", 0755), 0);
    cr_assert_eq(setgroups(1, others), 0);
    cr_assert_eq(setegid(7001), 0);
    for (size_t i = 0; i < sizeof(givens) / sizeof(givens[0]); i++) {
        cr_assert_eq(chown("file", givens[i].owner, givens[i].group), 0);
        cr_assert_eq(chmod("file", givens[i].mode), 0);
        cr_assert_eq(seteuid(7000), 0);
        read_given(&givens[i]);
        cr_assert_eq(seteuid(0), 0);
    }
}

Test(private_file, a_link_is_followed_and_judged_by_what_it_leads_to)
{
    struct private_file_error error;
    char text[16];
    cr_expect_eq(private_file_read("link", text, sizeof(text), &error), 6);
    cr_expect_arr_eq(text, "secret", 6);
    cr_assert_eq(chmod("file", 0640), 0);
    cr_expect_eq(private_file_read("link", text, sizeof(text), &error), -1);
}

Test(private_file, what_is_no_file_is_refused_at_once, .timeout = 10)
{
    struct private_file_error error;
    char text[16];
    cr_expect_eq(private_file_read("pipe", text, sizeof(text), &error), -1);
    cr_expect_str_eq(error.message, "it is not a regular file");
    cr_expect_eq(private_file_read("folder", text, sizeof(text), &error), -1);
    cr_expect_str_eq(error.message, "it is not a regular file");
    cr_expect_eq(private_file_read("/dev/zero", text, sizeof(text), &error), -1);
    cr_expect_str_eq(error.message, "it is not a regular file");
}

Test(private_file, a_missing_file_is_told_from_others)
{
    struct private_file_error error;
    char text[16], name[5000];
    cr_expect_eq(private_file_read("nowhere", text, sizeof(text), &error), -1);
    cr_expect(error.missing);
    cr_expect_str_eq(error.message, "No such file or directory");
    cr_expect_eq(private_file_read("file/x", text, sizeof(text), &error), -1);
    cr_expect(error.missing);
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    cr_expect_eq(private_file_read(name, text, sizeof(text), &error), -1);
    cr_expect(error.missing);
}

Test(private_file, it_is_all_or_nothing)
{
    struct private_file_error error;
    char text[6];
    cr_expect_eq(private_file_read("file", text, 6, &error), 6);
    cr_expect_eq(private_file_read("file", text, 5, &error), -1);
    cr_expect_str_eq(error.message, "it is larger than 5 bytes");
}

Test(private_file, a_new_file_is_the_owners_alone_and_nothing_is_written_over)
{
    static const uint8_t big[20000] = {1};
    struct private_file_error error;
    struct stat status;
    char text[8];
    umask(0);
    cr_expect_eq(private_file_make("new", "secret!", 7), 0);
    cr_expect(stat("new", &status) == 0 && status.st_mode == (S_IFREG | 0600));
    cr_expect_eq(private_file_read("new", text, sizeof(text), &error), 7);
    cr_expect_eq(memcmp(text, "secret!", 7), 0);
    static const char *const taken[] = {"new", "file", "link", "pipe", "folder"};
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        cr_expect_eq(private_file_make(taken[i], "other", 5), -1);
        cr_expect_eq(errno, EEXIST, "%s", taken[i]);
    }
    cr_expect_eq(private_file_read("file", text, sizeof(text), &error), 6);
    cr_expect_eq(unlink("new"), 0);
    cr_expect_eq(private_file_make("nowhere/new", "other", 5), -1);
    cr_expect_eq(errno, ENOENT);
    cr_expect_eq(symlink("elsewhere", "new"), 0);
    cr_expect_eq(private_file_make("new", "other", 5), -1, "a link is not followed");
    cr_expect_eq(unlink("new"), 0);

    /* What there is no room for leaves nothing behind. */
    struct rlimit before, limit = {10000, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit.rlim_max = before.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_expect_eq(private_file_make("new", big, sizeof(big)), -1);
    cr_expect_eq(errno, EFBIG);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    cr_expect_neq(access("new", F_OK), 0);
}
