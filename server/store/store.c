#include "server/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "server/store/db.h"
#include "server/store/migrate.h"
#include "server/store/readers.h"
#include "server/store/transact.h"
#include "server/store/writer.h"

enum { PATH_CAP = 8192 };

struct store {
    char *path;     /* of the database */
    char *log_path; /* of its log */
    struct writer *writer;
    struct readers *readers;
};

struct store_config
store_config_default(void)
{
    return (struct store_config){
        .readers = 4,
        .query_ms = 2000,
        .busy_ms = 5000,
        .ballast_bytes = 32ULL << 20,
    };
}

/* The log is shared memory, and locks must hold: neither does over a network. */
static enum status
refuse_network(const char *directory, struct err *err)
{
    static const struct {
        uint32_t magic;
        const char *name;
    } refused[] = {
        {NFS_SUPER_MAGIC, "NFS"},   {SMB_SUPER_MAGIC, "SMB"},   {CIFS_SUPER_MAGIC, "CIFS"},
        {SMB2_SUPER_MAGIC, "SMB"},  {CODA_SUPER_MAGIC, "Coda"}, {AFS_SUPER_MAGIC, "AFS"},
        {CEPH_SUPER_MAGIC, "Ceph"}, {V9FS_MAGIC, "9p"},
    };
    struct statfs fs;

    FAIL_IF(statfs(directory, &fs) != 0, err, IO, 0, "%s: %s", directory, strerrordesc_np(errno));
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++)
        FAIL_IF((uint32_t)fs.f_type == refused[i].magic, err, UNSUPPORTED, 0,
                "%s lies on %s; the database needs a local file system", directory,
                refused[i].name);
    return OK;
}

static enum status
join_path(const char *directory, const char *name, char **ret_path, struct err *err)
{
    CLEANUP(buf_done) struct buf path = buf_with_cap(PATH_CAP);

    buf_printf(&path, "%s/%s", directory, name);
    TRY(buf_check(&path, err));
    *ret_path = buf_take(&path);
    return OK;
}

/* A database made just now must still be there after a power failure. */
static enum status
sync_folder(const char *directory, struct err *err)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        (void)close(fd);
    FAIL_IF(result != 0, err, IO, 0, "%s cannot be synced: %s", directory, strerrordesc_np(errno));
    return OK;
}

static void
free_store_at(struct store **store)
{
    store_free(*store);
}

static void
free_db_at(struct db **db)
{
    db_free(*db);
}

enum status
store_open(const struct store_config *config, struct store **ret_store, struct err *err)
{
    CLEANUP(free_store_at) struct store *store = mem_new(1, sizeof *store);
    CLEANUP(free_db_at) struct db *db = NULL;

    FAIL_IF(store == NULL, err, NO_MEMORY, 0, "no memory for the store");
    TRY(refuse_network(config->directory, err));
    TRY(join_path(config->directory, "ckptd.db", &store->path, err));
    TRY(join_path(config->directory, "ckptd.db-wal", &store->log_path, err));
    TRY(db_open(store->path, DB_WRITER, config->busy_ms, &db, err));
    TRY(migrate_run(db, migrate_known, migrate_known_count, err));
    /* SQLite does not say when the sync of a new file's header failed: write it again, and sync it. */
    db_checkpoint(db, true);
    if (db_is_suspect(db, err))
        return ERR_STORE_SUSPECT;
    TRY(sync_folder(config->directory, err));
    TRY(writer_start(TAKE(db), config->directory, config->ballast_bytes, &store->writer, err));
    TRY(readers_start(store->path, config->readers, config->query_ms, &store->readers, err));
    *ret_store = TAKE(store);
    return OK;
}

void
store_free(struct store *store)
{
    if (store == NULL)
        return;
    readers_free(store->readers); /* first, so that the writer can empty the log */
    writer_free(store->writer);
    mem_free(store->log_path);
    mem_free(store->path);
    mem_free(store);
}

bool
store_is_suspect(struct store *store, struct err *err)
{
    return writer_is_suspect(store->writer, err);
}

static uint64_t
size_of(const char *path)
{
    struct stat st; /* never open(2): closing that would drop SQLite's locks */

    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

struct store_stats
store_stats(struct store *store)
{
    struct store_stats stats = {0};

    writer_stats(store->writer, &stats);
    readers_stats(store->readers, &stats);
    stats.wal_bytes = size_of(store->log_path);
    stats.db_bytes = size_of(store->path);
    return stats;
}

static enum status
copy(struct db *db, void *context, struct err *err)
{
    const char *const *path = context;

    return db_copy_to(db, *path, err);
}

enum status
store_backup(struct store *store, const char *path, struct err *err)
{
    return writer_run_alone(store->writer, copy, &path, err);
}

enum status
store_write(struct store *store, transact_work *work, void *context, struct err *err)
{
    return writer_run(store->writer, work, context, err);
}

enum status
store_read(struct store *store, transact_work *work, void *context, struct err *err)
{
    return readers_run(store->readers, work, context, err);
}
