#include "server/blobs/local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/num.h"

enum {
    FAN_OUT = 256,      /* blobs/00 … blobs/ff */
    NAME_MAX_OURS = 80, /* the longest name here is ab/<64 hex>.heal */
    OPEN_TRIES = 100,
};

static const char LOCK_SUFFIX[] = ".lock";

struct name {
    char text[NAME_MAX_OURS];
};

/* ---- small things ---- */

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void
close_dir(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir);
}

static enum status
fail_io(const char *what, const char *name, struct err *err)
{
    int reason = errno;

    if (reason == ENOSPC || reason == EDQUOT)
        FAIL(err, NO_SPACE, 0, "no space: %s %s", what, name);
    FAIL(err, IO, 0, "%s %s: %s", what, name, strerrordesc_np(reason));
}

static enum status
open_folder(int at, const char *name, int *ret_fd, struct err *err)
{
    if (mkdirat(at, name, 0700) != 0 && errno != EEXIST)
        return fail_io("making the directory", name, err);
    *ret_fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (*ret_fd < 0)
        return fail_io("opening the directory", name, err);
    return OK;
}

static struct name
blob_name(const struct digest *digest)
{
    struct digest_text hex = digest_text(digest);
    struct name name;

    (void)snprintf(name.text, sizeof name.text, "%.2s/%s", hex.hex, hex.hex);
    return name;
}

static struct name
staged_name(uint64_t number)
{
    struct name name;

    (void)snprintf(name.text, sizeof name.text, "%llu", (unsigned long long)number);
    return name;
}

/* The descriptor of the entries, for fdopendir, which takes it over and moves its offset. */
static DIR *
list_folder(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (dir == NULL)
        close_fd(&fd);
    return dir;
}

static const struct dirent *
next_entry(DIR *dir)
{
    return readdir(dir); /* NOLINT(concurrency-mt-unsafe): no other thread has this stream */
}

/* ---- instances ---- */

static void
empty_folder(int at, const char *name)
{
    CLEANUP(close_dir) DIR *dir = list_folder(at, name);
    const struct dirent *entry;

    if (dir == NULL)
        return;
    while ((entry = next_entry(dir)) != NULL)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    (void)unlinkat(at, name, AT_REMOVEDIR);
}

/* An instance lives as long as its lock is held: the kernel gives it up when the process dies. */
static int
lock_if_dead(int staging, const char *lock_name)
{
    int fd = openat(staging, lock_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
        close_fd(&fd);
    return fd;
}

static void
clear_instance(int staging, const char *lock_name)
{
    struct name name = {0};
    size_t length = strlen(lock_name), suffix = sizeof LOCK_SUFFIX - 1;
    CLEANUP(close_fd) int lock = -1;

    if (length <= suffix || length >= sizeof name.text ||
        strcmp(lock_name + length - suffix, LOCK_SUFFIX) != 0)
        return;
    lock = lock_if_dead(staging, lock_name);
    if (lock < 0)
        return;
    memcpy(name.text, lock_name, length - suffix);
    empty_folder(staging, name.text);
    (void)unlinkat(staging, lock_name, 0); /* last: without it nobody clears the folder */
}

static enum status
clear_dead(int root, struct err *err)
{
    CLEANUP(close_dir) DIR *dir = list_folder(root, "staging");
    const struct dirent *entry;

    if (dir == NULL)
        return fail_io("opening the directory", "staging", err);
    while ((entry = next_entry(dir)) != NULL)
        clear_instance(dirfd(dir), entry->d_name);
    return OK;
}

/* Take the lock of a new name. Whoever clears the dead may have caught the file between its making and
 * its locking: then it is no longer linked, and another name is tried. */
static enum status
lock_new(int staging, struct local *l, struct err *err)
{
    for (int i = 0; i < OPEN_TRIES; i++) {
        CLEANUP(close_fd) int fd = -1;
        struct name lock_name;
        struct stat st;
        uint64_t random;

        FAIL_IF(getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random, err, IO, 0,
                "the system gives no random numbers");
        (void)snprintf(l->instance, sizeof l->instance, "%d-%016llx", (int)getpid(),
                       (unsigned long long)random);
        (void)snprintf(lock_name.text, sizeof lock_name.text, "%s%s", l->instance, LOCK_SUFFIX);
        fd = openat(staging, lock_name.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST)
            return fail_io("making", lock_name.text, err);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0 || st.st_nlink == 0)
            continue;
        l->lock = fd;
        fd = -1;
        return OK;
    }
    FAIL(err, IO, 0, "no instance can be locked in staging");
}

static enum status
open_staging(struct local *l, struct err *err)
{
    CLEANUP(close_fd) int staging = -1;

    TRY(open_folder(l->root, "staging", &staging, err));
    TRY(clear_dead(l->root, err));
    TRY(lock_new(staging, l, err));
    return open_folder(staging, l->instance, &l->staging, err);
}

/* All at once, so that no upload ever makes a directory, and one sync of their parent is enough. */
static enum status
open_blobs(struct local *l, struct err *err)
{
    TRY(open_folder(l->root, "blobs", &l->blobs, err));
    for (unsigned i = 0; i < FAN_OUT; i++) {
        char name[8];

        (void)snprintf(name, sizeof name, "%02x", i);
        if (mkdirat(l->blobs, name, 0700) != 0 && errno != EEXIST)
            return fail_io("making the directory blobs", name, err);
    }
    if (fsync(l->blobs) != 0 || fsync(l->root) != 0)
        return fail_io("syncing the directory", "blobs", err);
    return OK;
}

struct local
local_none(void)
{
    return (struct local){.root = -1, .blobs = -1, .staging = -1, .lock = -1};
}

enum status
local_open(const char *directory, struct local *ret_local, struct err *err)
{
    CLEANUP(local_done) struct local l = local_none();

    l.root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l.root < 0)
        return fail_io("opening", directory, err);
    TRY(open_blobs(&l, err));
    TRY(open_staging(&l, err));
    *ret_local = l;
    l = local_none();
    return OK;
}

void
local_done(struct local *l)
{
    CLEANUP(close_fd) int staging = -1;

    if (l == NULL)
        return;
    if (l->lock >= 0) {
        struct name lock_name;

        (void)snprintf(lock_name.text, sizeof lock_name.text, "%s%s", l->instance, LOCK_SUFFIX);
        staging = openat(l->root, "staging", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (staging >= 0) {
            empty_folder(staging, l->instance);
            (void)unlinkat(staging, lock_name.text, 0);
        }
    }
    close_fd(&l->staging);
    close_fd(&l->lock);
    close_fd(&l->blobs);
    close_fd(&l->root);
}

bool
local_is_alive(const struct local *l, const char *instance)
{
    CLEANUP(close_fd)
    int staging = openat(l->root, "staging", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    CLEANUP(close_fd) int fd = -1;
    struct name lock_name;

    if (strcmp(instance, l->instance) == 0)
        return true;
    if (strlen(instance) > LOCAL_INSTANCE_MAX || strchr(instance, '/') != NULL)
        return false;
    (void)snprintf(lock_name.text, sizeof lock_name.text, "%s%s", instance, LOCK_SUFFIX);
    fd = openat(staging, lock_name.text, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
}

/* ---- staged files ---- */

enum status
local_create(const struct local *l, uint64_t number, int *ret_fd, struct err *err)
{
    struct name name = staged_name(number);

    *ret_fd =
        openat(l->staging, name.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*ret_fd < 0)
        return fail_io("making the staged file", name.text, err);
    return OK;
}

void
local_discard(const struct local *l, uint64_t number)
{
    struct name name = staged_name(number);

    (void)unlinkat(l->staging, name.text, 0);
}

/* What has the name already is these bytes, synced before it was linked; unless a disk or a person
 * cut it: then the staged copy takes its place. */
static enum status
heal(const struct local *l, const char *staged, const char *blob, uint64_t size, struct err *err)
{
    struct stat st;
    struct name aside;

    if (fstatat(l->blobs, blob, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return fail_io("looking at the blob", blob, err);
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size == size)
        return OK;
    (void)snprintf(aside.text, sizeof aside.text, "%.67s.heal", blob);
    (void)unlinkat(l->blobs, aside.text, 0);
    if (linkat(l->staging, staged, l->blobs, aside.text, 0) != 0 ||
        renameat(l->blobs, aside.text, l->blobs, blob) != 0)
        return fail_io("replacing the blob", blob, err);
    return OK;
}

/* The folder of a blob, locked: shared by those who link and commit, exclusive for who removes. */
static enum status
lock_folder(const struct local *l, const struct digest *digest, int how, int *ret_folder,
            struct err *err)
{
    struct digest_text hex = digest_text(digest);
    char folder[3] = {hex.hex[0], hex.hex[1], '\0'};
    CLEANUP(close_fd) int fd = openat(l->blobs, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result;

    if (fd < 0)
        return fail_io("opening the directory", folder, err);
    do
        result = flock(fd, how);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return fail_io("locking the directory", folder, err);
    *ret_folder = fd;
    fd = -1;
    return OK;
}

enum status
local_hold(const struct local *l, const struct digest *digest, int *ret_folder, struct err *err)
{
    return lock_folder(l, digest, LOCK_SH, ret_folder, err);
}

static enum status
sync_folder(int folder, const char *blob, bool *ret_suspect, struct err *err)
{
    *ret_suspect = fsync(folder) != 0;
    if (*ret_suspect)
        return fail_io("syncing the directory of", blob, err);
    return OK;
}

enum status
local_link(const struct local *l, int folder, uint64_t number, const struct digest *digest,
           uint64_t size, bool *ret_suspect, struct err *err)
{
    struct name staged = staged_name(number), blob = blob_name(digest);

    *ret_suspect = false;
    if (linkat(l->staging, staged.text, l->blobs, blob.text, 0) != 0) {
        if (errno != EEXIST)
            return fail_io("linking the blob", blob.text, err);
        TRY(heal(l, staged.text, blob.text, size, err));
    }
    /* Who linked it first may not have synced the directory yet: so each one does. */
    return sync_folder(folder, blob.text, ret_suspect, err);
}

/* ---- blobs ---- */

enum status
local_open_blob(const struct local *l, const struct digest *digest, int *ret_fd, uint64_t *ret_size,
                struct err *err)
{
    struct name blob = blob_name(digest);
    CLEANUP(close_fd) int fd = openat(l->blobs, blob.text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;

    FAIL_IF(fd < 0 && errno == ENOENT, err, NOT_FOUND, 0, "there is no blob sha256:%s",
            digest_text(digest).hex);
    if (fd < 0)
        return fail_io("opening the blob", blob.text, err);
    if (fstat(fd, &st) != 0)
        return fail_io("looking at the blob", blob.text, err);
    *ret_fd = fd;
    *ret_size = (uint64_t)st.st_size;
    fd = -1;
    return OK;
}

enum status
local_remove(const struct local *l, const struct digest *digest, bool *ret_suspect, struct err *err)
{
    CLEANUP(close_fd) int folder = -1;
    struct name blob = blob_name(digest);

    *ret_suspect = false;
    TRY(lock_folder(l, digest, LOCK_EX, &folder, err));
    if (unlinkat(l->blobs, blob.text, 0) != 0 && errno != ENOENT)
        return fail_io("unlinking the blob", blob.text, err);
    return sync_folder(folder, blob.text, ret_suspect, err);
}

typedef enum status each_blob(void *context, const struct digest *digest, uint64_t size,
                              struct err *err);

static enum status
list_one(const struct local *l, const char *folder, each_blob *each, void *context, struct err *err)
{
    CLEANUP(close_dir) DIR *dir = list_folder(l->blobs, folder);
    const struct dirent *entry;

    if (dir == NULL)
        return fail_io("opening the directory blobs", folder, err);
    while ((entry = next_entry(dir)) != NULL) {
        struct digest digest;
        struct stat st;

        if (strncmp(entry->d_name, folder, 2) != 0 ||
            !digest_parse(slice_of(entry->d_name), &digest))
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue; /* it went meanwhile */
        if (S_ISREG(st.st_mode))
            TRY(each(context, &digest, (uint64_t)st.st_size, err));
    }
    return OK;
}

enum status
local_list(const struct local *l, each_blob *each, void *context, struct err *err)
{
    for (unsigned i = 0; i < FAN_OUT; i++) {
        char folder[8];

        (void)snprintf(folder, sizeof folder, "%02x", i);
        TRY(list_one(l, folder, each, context, err));
    }
    return OK;
}
