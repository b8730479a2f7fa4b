/* SPDX-License-Identifier: Apache-2.0 */
/* Owns whose eyes 'mqward check' looks with. Called by check.c, before it reads anything. */
#include "proxy/cli/check_user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "proxy/config.h"

/* Whose the audit directory is. False: it is not there, or not named. */
static bool find_directory(const char *path, struct stat *status)
{
    struct diag_list *diag = diag_list_new(); /* what is wrong with the file is told by who reads it next */
    struct arena *arena = arena_new();
    const struct config *partial = NULL;

    config_load(path, arena, diag, &partial);
    bool found = partial != NULL && partial->audit.directory.path != NULL &&
                 stat(partial->audit.directory.path, status) == 0;
    arena_free(arena);
    diag_list_free(diag);
    return found;
}

/* The service may have a group of its own, which is the directory's then. That it is root's group says
 * nothing: whoever made it by hand gave away the owner alone. entry may be NULL. */
static gid_t find_group(const struct stat *directory, const struct passwd *entry)
{
    return entry == NULL || directory->st_gid != 0 ? directory->st_gid : entry->pw_gid;
}

/* As systemd does it: the groups of the user's, and the group of the service. 0 or -1 (errno). */
static int become(const char *name, uid_t uid, gid_t gid)
{
    if ((name == NULL ? setgroups(1, &gid) : initgroups(name, gid)) != 0)
        return -1;
    return setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0 ? -1 : 0;
}

static bool become_named(
    const char *name, const char *path, struct check_user *user, char *error, size_t error_size)
{
    const struct passwd *entry = getpwnam(name);
    struct stat status;

    if (entry == NULL) { /* errno says anything then, getpwnam(3) */
        snprintf(error, error_size, "there is no user '%s'", name);
        return false;
    }
    if (entry->pw_uid == geteuid())
        return true;
    const uid_t uid = entry->pw_uid;
    const bool own = find_directory(path, &status) && status.st_uid == uid;
    const gid_t gid = own ? find_group(&status, entry) : entry->pw_gid;
    if (become(name, uid, gid) != 0) {
        snprintf(error, error_size, "can't look as user '%s' does: %s", name, strerror(errno));
        return false;
    }
    snprintf(user->name, sizeof(user->name), "%s", name);
    return true;
}

static void become_owner(const char *path, struct check_user *user)
{
    char name[sizeof(user->name)];
    struct stat status;

    if (geteuid() != 0 || !find_directory(path, &status) || status.st_uid == 0)
        return;
    const struct passwd *entry = getpwuid(status.st_uid);
    const bool known = entry != NULL && strlen(entry->pw_name) < sizeof(name);
    if (known)
        snprintf(name, sizeof(name), "%s", entry->pw_name);
    else
        snprintf(name, sizeof(name), "%lu", (unsigned long)status.st_uid);
    if (become(known ? name : NULL, status.st_uid, find_group(&status, entry)) == 0)
        snprintf(user->name, sizeof(user->name), "%s", name);
    else
        snprintf(user->unreachable, sizeof(user->unreachable), "%s (%s)", name, strerror(errno));
}

bool check_user_become(
    const char *name, const char *path, struct check_user *user, char *error, size_t error_size)
{
    *user = (struct check_user){.name = ""};
    if (name != NULL)
        return become_named(name, path, user, error, error_size);
    become_owner(path, user);
    return true;
}
