/* SPDX-License-Identifier: Apache-2.0 */
/* Paths: what leads to the same place, and which folders others could put something else in. */
#include "base/path.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/mqward-path-XXXXXX";
static struct arena *arena;

/* a/b, a/link -> b, a/loop -> loop, a/up -> .., a/nowhere -> missing, a/file */
static void begin(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    cr_assert(mkdir("a", 0700) == 0 && mkdir("a/b", 0700) == 0);
    cr_assert(symlink("b", "a/link") == 0 && symlink("loop", "a/loop") == 0 && symlink("..", "a/up") == 0);
    cr_assert_eq(symlink("missing", "a/nowhere"), 0);
    close(open("a/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    arena = arena_new();
}

static void end(void)
{
    static const char *const names[] = {
        "a/file", "a/nowhere", "a/up", "a/loop", "a/link", "a/b", "a", folder};

    arena_free(arena);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        remove(names[i]);
}

TestSuite(path, .init = begin, .fini = end);

static void check(const char *found, const char *path, const char *below)
{
    char wanted[256];

    snprintf(wanted, sizeof(wanted), "%s%s", folder, below);
    cr_expect_str_eq(found, wanted, "%s: %s", path, found);
}

static void check_real(const char *path, const char *below)
{
    check(path_real(arena, path), path, below);
}

static void check_file(const char *path, const char *below)
{
    check(path_real_file(arena, path), path, below);
}

static void check_no_file(const char *path)
{
    cr_expect_null(path_real_file(arena, path), "%s", path);
}

Test(path, has_one_way_to_be_written)
{
    char absolute[256];

    check_real(".", "");
    check_real("a/b", "/a/b");
    check_real(".//a/./b///", "/a/b");
    check_real("a/link", "/a/b");
    check_real("a/link/..", "/a");
    check_real("a/up/a/link/x", "/a/b/x");
    check_real("x/y/../z", "/x/z");
    check_real("a/nowhere", "/a/nowhere");
    check_real("a/loop/x", "/a/loop/x");
    snprintf(absolute, sizeof(absolute), "/..//%s/a/link", folder + 1);
    check_real(absolute, "/a/b");
    cr_expect_str_eq(path_real(arena, "/../.."), "/");
}

Test(path, of_a_file_is_its_name_in_its_real_folder)
{
    check_file("x", "/x");
    check_file("a/link/x", "/a/b/x");
    check_file("a/link", "/a/link");
    check_file("a/nowhere", "/a/nowhere");
    check_no_file("a/b/");
    check_no_file("a/b/.");
    check_no_file("a/..");
    cr_assert_str_eq(path_folder(arena, "x"), ".");
    cr_assert_str_eq(path_folder(arena, "/x"), "/");
    cr_assert_str_eq(path_folder(arena, "a/b/x"), "a/b");
}

/* ---- whose it is ---- */

static void check_good(const char *path)
{
    struct path_trouble trouble = {0};

    cr_expect_eq(
        path_check_folder(arena, path, &trouble), 0, "%s: %s: %s", path, trouble.folder, trouble.problem);
}

static void check_bad(const char *path, const char *below, const char *problem)
{
    struct path_trouble trouble = {0};
    char wanted[256];

    snprintf(wanted, sizeof(wanted), "%s%s", folder, below);
    cr_assert_eq(path_check_folder(arena, path, &trouble), -1, "%s", path);
    cr_expect_str_eq(trouble.folder, wanted, "%s: %s", path, trouble.folder);
    cr_expect_str_eq(trouble.problem, problem, "%s: %s", path, trouble.problem);
    cr_expect_eq(trouble.missing, strcmp(problem, "No such file or directory") == 0);
}

Test(path, of_a_folder_that_is_ours_alone_is_good)
{
    char absolute[256];

    snprintf(
        absolute, sizeof(absolute), "%s/a/up//a/./link/", folder); /* through /tmp, with its sticky bit */
    check_good(absolute);
    check_good(".");
    check_good("a/link");
    check_good("/");
}

Test(path, of_a_folder_is_bad_where_others_may_write_in_it_or_on_the_way)
{
    chmod("a/b", 0770);
    check_bad("a/link", "/a/b", "others may write to it");
    chmod("a/b", 01777);
    check_bad("a/b", "/a/b", "others may write to it");
    chmod("a/b", 0755);
    chmod("a", 0702);
    check_bad("a/b", "/a", "others may write to it");
    check_bad("a/b/..", "/a", "others may write to it");
    chmod("a", 01777);
    check_good("a/b");
    check_good("a/link");
    check_bad("a", "/a", "others may write to it");
    check_bad("a/b/..", "/a", "others may write to it");
}

Test(path, of_no_folder_is_bad)
{
    check_bad("a/x", "/a/x", "No such file or directory");
    check_bad("a/nowhere/b", "/a/missing", "No such file or directory");
    check_bad("a/file", "/a/file", "it is no folder");
    check_bad("a/file/b", "/a/file", "it is no folder");
    check_bad("a/loop", "/a/loop", "Too many levels of symbolic links");
}

Test(path, of_somebody_elses_folder_or_link_is_bad)
{
    if (geteuid() != 0)
        cr_skip("only root can make it so");
    cr_assert_eq(lchown("a/link", 65534, 65534), 0);
    check_bad("a/link", "/a/link", "it is somebody else's");
    check_good("a/b");
    cr_assert_eq(chown("a/b", 65534, 65534), 0);
    check_bad("a/b", "/a/b", "it is somebody else's");
}
