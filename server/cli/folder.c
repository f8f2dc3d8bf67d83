#include "server/cli/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/vec.h"

enum {
    FILES_MAX = 100000,
    FOLDERS_MAX = 100000,
    DEPTH_MAX = 16,
    NAMES_BYTES_MAX = 256 << 20,
};

struct below {
    struct slice name; /* "" of the directory itself */
    unsigned depth;
};

struct folder {
    int root;
    struct arena arena; /* of the names */
    struct vec files;   /* struct slice: their names */
};

/* ---- what is there ---- */

static bool
is_wanted(const struct folder_wish *wish, struct slice name)
{
    size_t low = 0, high = wish->name_count;

    if (wish->names == NULL || (wish->first != NULL && slice_is(name, wish->first)))
        return true;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(wish->names[middle], name);

        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static enum status
add_folder(struct vec *folders, struct slice name, unsigned depth, struct err *err)
{
    struct below *below;

    FAIL_IF(depth > DEPTH_MAX, err, LIMIT, 0, "%.*s: it lies more than %d folders deep",
            SLICE_PRINT(name), DEPTH_MAX);
    TRY(vec_add(folders, &below, "folders below a directory", err));
    *below = (struct below){name, depth};
    return OK;
}

static enum status
take_entry(struct folder *folder, int dir, const char *entry, const struct folder_wish *wish,
           struct vec *folders, const struct below *at, struct err *err)
{
    struct stat itself, target;
    struct slice *added, name;

    if (fstatat(dir, entry, &itself, AT_SYMLINK_NOFOLLOW) != 0 ||
        fstatat(dir, entry, &target, 0) != 0)
        return OK; /* gone meanwhile, or a link to nowhere */
    TRY(arena_printf(&folder->arena, &name, err, "%.*s%s%s", SLICE_PRINT(at->name),
                     at->name.length > 0 ? "/" : "", entry));
    if (S_ISDIR(itself.st_mode) && wish->is_deep)
        return add_folder(folders, name, at->depth + 1, err);
    if (!S_ISREG(target.st_mode) || !is_wanted(wish, name))
        return OK;
    TRY(vec_add(&folder->files, &added, "files in a directory", err));
    *added = name;
    return OK;
}

static void
close_dir(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir);
}

static enum status
list_one(struct folder *folder, const struct folder_wish *wish, struct vec *folders,
         struct below at, struct err *err)
{
    CLEANUP(close_dir) DIR *dir = NULL;
    int fd = openat(folder->root, at.name.length > 0 ? at.name.at : ".",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const struct dirent *entry;

    FAIL_IF(fd < 0, err, IO, 0, "%.*s: the folder cannot be opened (error %d)",
            SLICE_PRINT(at.name), errno);
    dir = fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
        FAIL(err, IO, 0, "%.*s: the folder cannot be read (error %d)", SLICE_PRINT(at.name), errno);
    }
    while ((entry = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe): one thread */
        if (!slice_is(slice_of(entry->d_name), ".") && !slice_is(slice_of(entry->d_name), ".."))
            TRY(take_entry(folder, fd, entry->d_name, wish, folders, &at, err));
    return OK;
}

static int
by_name(const void *a, const void *b)
{
    const struct slice *left = a, *right = b;

    return slice_compare(*left, *right);
}

static void
put_first(struct folder *folder, const char *first)
{
    struct slice *files = folder->files.items, found;

    for (size_t i = 0; first != NULL && i < folder->files.count; i++) {
        if (!slice_is(files[i], first))
            continue;
        found = files[i];
        memmove(files + 1, files, i * sizeof *files);
        files[0] = found;
        return;
    }
}

static enum status
list_all(struct folder *folder, const struct folder_wish *wish, struct err *err)
{
    CLEANUP(vec_done) struct vec folders = vec_of(sizeof(struct below), FOLDERS_MAX);

    TRY(add_folder(&folders, (struct slice){0}, 0, err));
    for (size_t i = 0; i < folders.count; i++)
        TRY(list_one(folder, wish, &folders, VEC_AT(&folders, struct below, i), err));
    if (folder->files.count > 0)
        qsort(folder->files.items, folder->files.count, sizeof(struct slice), by_name);
    put_first(folder, wish->first);
    return OK;
}

enum status
folder_open(const char *path, const struct folder_wish *wish, struct folder **ret_folder,
            struct err *err)
{
    struct folder *folder = mem_new(1, sizeof *folder);
    struct err why = {0};

    FAIL_IF(folder == NULL, err, NO_MEMORY, 0, "out of memory");
    folder->arena = arena_with_cap(NAMES_BYTES_MAX);
    folder->files = vec_of(sizeof(struct slice), FILES_MAX);
    folder->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->root < 0) {
        folder_free(folder);
        FAIL(err, IO, 0, "%s: the directory cannot be opened (error %d)", path, errno);
    }
    if (list_all(folder, wish, &why) != OK) {
        folder_free(folder);
        err_set(err, why.code, 0, "%s: %s", path, why.text);
        return why.code;
    }
    *ret_folder = folder;
    return OK;
}

void
folder_free(struct folder *folder)
{
    if (folder == NULL)
        return;
    if (folder->root >= 0)
        (void)close(folder->root);
    vec_done(&folder->files);
    arena_done(&folder->arena);
    mem_free(folder);
}

/* ---- the set ---- */

static struct slice
file_path(void *context, size_t i)
{
    const struct folder *folder = context;

    return VEC_AT(&folder->files, struct slice, i);
}

static enum status
file_open(void *context, size_t i, int *ret_fd, struct err *err)
{
    const struct folder *folder = context;
    struct slice name = VEC_AT(&folder->files, struct slice, i);

    *ret_fd = openat(folder->root, name.at, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    FAIL_IF(*ret_fd < 0, err, IO, 0, "%.*s: it cannot be opened (error %d)", SLICE_PRINT(name),
            errno);
    return OK;
}

struct inspector_set
folder_files(struct folder *folder)
{
    return (struct inspector_set){
        .count = folder->files.count, .path = file_path, .open = file_open, .context = folder};
}

/* ---- an index's names ---- */

static int
by_text(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* A name of the index's own folder: no other path is ever opened for a file's sake. */
static bool
is_plain_name(struct slice name)
{
    return name.length > 0 && !slice_is(name, ".") && !slice_is(name, "..") &&
           memchr(name.at, '/', name.length) == NULL;
}

static enum status
read_map(struct json *j, struct vec *names, struct err *err)
{
    TRY(json_object(j, "weight_map", err));
    for (;;) {
        struct slice key, name, *row;
        bool is_end;

        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            return OK;
        TRY(json_string(j, "a file of weight_map", &name, err));
        if (!is_plain_name(name) ||
            (names->count > 0 && slice_equal(VEC_AT(names, struct slice, names->count - 1), name)))
            continue; /* most keys lie in the file of the one before */
        TRY(vec_add(names, &row, "files of an index", err));
        *row = name;
    }
}

static enum status
read_index(struct json *j, struct vec *names, bool *ret_found, struct err *err)
{
    TRY(json_object(j, "an index", err));
    for (;;) {
        struct slice key;
        bool is_end;

        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            return json_finish(j, err);
        if (slice_is(key, "weight_map")) {
            *ret_found = true;
            TRY(read_map(j, names, err));
        } else {
            TRY(json_skip(j, NULL, err));
        }
    }
}

enum status
folder_index_names(struct slice text, const struct limits *limits, struct arena *arena,
                   struct slice **ret_names, size_t *ret_count, bool *ret_found, struct err *err)
{
    CLEANUP(json_done) struct json j = {0};
    CLEANUP(vec_done) struct vec names = vec_of(sizeof(struct slice), limits->tensors);
    struct slice *rows;
    size_t count = 0;

    *ret_found = false;
    json_open(&j, text, limits, arena);
    if (read_index(&j, &names, ret_found, err) != OK)
        *ret_found = false; /* the reader says what is wrong with it */
    if (!*ret_found)
        return OK;
    rows = arena_alloc(arena, names.count + 1, sizeof *rows);
    if (rows == NULL)
        return arena_fail(arena, err);
    if (names.count > 0)
        qsort(names.items, names.count, sizeof *rows, by_text);
    for (size_t i = 0; i < names.count; i++)
        if (count == 0 || !slice_equal(rows[count - 1], VEC_AT(&names, struct slice, i)))
            rows[count++] = VEC_AT(&names, struct slice, i);
    *ret_names = rows;
    *ret_count = count;
    return OK;
}
