#include <pthread.h>

#include "server/store/blob_store.h"
#include "server/store/event_store.h"
#include "server/store/job_store.h"
#include "tests/support/unit.h"
#include "tests/unit/server/store/fixture.h"

static const uint64_t HOUR_US = 3600 * UINT64_C(1000000);

static struct version_part
part_of(const char *label, const char *path, unsigned bytes)
{
    return (struct version_part){.namespace = slice_of("llm"),
                                 .model = slice_of("big"),
                                 .label = slice_of(label),
                                 .file = {slice_of(path), 1000 + bytes, digest_of(bytes)},
                                 .files_max = 5,
                                 .open_us = HOUR_US,
                                 .by = "local"};
}

static struct version_place
add(struct fixture *f, const char *label, const char *path, unsigned bytes)
{
    struct version_part part = part_of(label, path, bytes);
    struct version_place place;

    GOES_WELL(f, version_store_add_file(f->store, &part, &place, &f->err));
    return place;
}

static struct version
read_back(struct fixture *f, const char *label)
{
    struct version v;

    GOES_WELL(f, version_store_peek(f->store, slice_of("llm"), slice_of("big"), slice_of(label),
                                    &f->arena, &v, &f->err));
    return v;
}

static struct version_commit
commit_count(struct fixture *f, const char *label, uint64_t count, struct version_misfits *misfits)
{
    struct version_close close = {.namespace = slice_of("llm"),
                                  .model = slice_of("big"),
                                  .label = slice_of(label),
                                  .count = count,
                                  .reader_revision = 1};
    struct version_commit c;

    GOES_WELL(f, version_store_commit_open(f->store, &close, &f->arena, &c, misfits, &f->err));
    return c;
}

static enum status
job_waits(struct fixture *f, bool *ret_waits)
{
    uint64_t wait_us = 0;
    enum status status = job_store_next(f->store, "inspect", &wait_us, &f->err);

    *ret_waits = wait_us != UINT64_MAX;
    return status;
}

START_TEST(version_store_open__begins_with_the_first_file)
{
    FIXTURE(f);
    struct version_place place = add(&f, "one", "b", 2);
    struct version v;
    bool waits;

    ck_assert_int_eq(place.outcome, VERSION_CREATED);
    ck_assert_uint_eq(place.files, 1);
    place = add(&f, "one", "a", 1);
    ck_assert_uint_eq(place.files, 2);
    v = read_back(&f, "one");
    ck_assert_int_eq(v.state, VERSION_OPEN);
    ck_assert_int_eq(v.id, place.id);
    ck_assert_int_eq(v.expires_at_us, place.expires_at_us);
    ck_assert(v.expires_at_us > v.created_at_us);
    ck_assert_uint_eq(v.file_count, 2);
    ck_assert(slice_is(v.files[0].path, "a"));
    GOES_WELL(&f, job_waits(&f, &waits));
    ck_assert(!waits);
}
END_TEST

START_TEST(version_store_open__knows_a_file_again_and_refuses_another)
{
    FIXTURE(f);
    struct version_part other = part_of("one", "a", 2);
    struct version_place place;
    enum blob_state state;
    uint64_t size;
    bool found;

    (void)add(&f, "one", "a", 1);
    place = add(&f, "one", "a", 1);
    ck_assert_int_eq(place.outcome, VERSION_REPEATED);
    ck_assert_uint_eq(place.files, 1);
    FAILS_WITH(&f, CONFLICT, version_store_add_file(f.store, &other, &place, &f.err));
    GOES_WELL(&f, blob_store_get(f.store, &other.file.digest, &state, &size, &found, &f.err));
    ck_assert(!found);
}
END_TEST

/* A path that is there, and one that is to be added. */
static const struct {
    const char *there;
    const char *path;
    bool is_fine;
} beside[] = {
    {"a/b", "A/B", false},     {"a/b", "a", false},   {"a/b", "A", false}, {"a/b", "a/b/c", false},
    {"a/b", "a/B/c/d", false}, {"a/b", "a/bc", true}, {"a/b", "a0", true}, {"a/b", "a.b", true},
    {"a/b", "b", true},        {"a", "a/b", false},   {"a", "ab/c", true}, {"a", "b/a", true},
};

START_TEST(version_store_open__keeps_paths_apart_that_one_disk_could_not_hold)
{
    FIXTURE(f);
    struct version_part part = part_of("one", beside[_i].path, 2);
    struct version_place place;

    (void)add(&f, "one", beside[_i].there, 1);
    if (beside[_i].is_fine) {
        GOES_WELL(&f, version_store_peek_file(f.store, &part, &place, &f.err));
        GOES_WELL(&f, version_store_add_file(f.store, &part, &place, &f.err));
    } else {
        FAILS_WITH(&f, CONFLICT, version_store_peek_file(f.store, &part, &place, &f.err));
        FAILS_WITH(&f, CONFLICT, version_store_add_file(f.store, &part, &place, &f.err));
    }
}
END_TEST

START_TEST(version_store_open__has_so_many_files_at_most)
{
    FIXTURE(f);
    static const char *const paths[] = {"a", "b", "c", "d", "e"};
    struct version_part part = part_of("one", "f", 9);
    struct version_place place;

    for (unsigned i = 0; i < 5; i++)
        (void)add(&f, "one", paths[i], i);
    FAILS_WITH(&f, LIMIT, version_store_add_file(f.store, &part, &place, &f.err));
    ck_assert_ptr_nonnull(strstr(f.err.text, "--version-files"));
    FAILS_WITH(&f, LIMIT, version_store_peek_file(f.store, &part, &place, &f.err));
    ck_assert_int_eq(add(&f, "one", "e", 4).outcome, VERSION_REPEATED);
}
END_TEST

START_TEST(version_store_open__holds_the_label_against_whole_versions)
{
    FIXTURE(f);
    struct version_new v = {
        .namespace = slice_of("llm"), .model = slice_of("big"), .label = slice_of("one")};
    struct version_part late = part_of("two", "late", 3);
    struct version_place place;

    (void)add(&f, "one", "a", 1);
    ck_assert_int_eq(commit_with(&f, v, 1).outcome, VERSION_TAKEN);
    v.wants_free_label = true;
    ck_assert_str_eq(commit_with(&f, v, 1).label, "one.2");
    v.label = slice_of("two");
    (void)commit_with(&f, v, 2);
    FAILS_WITH(&f, LABEL_TAKEN, version_store_add_file(f.store, &late, &place, &f.err));
    late = part_of("two", "model.pth", 2);
    GOES_WELL(&f, version_store_add_file(f.store, &late, &place, &f.err));
    ck_assert_int_eq(place.outcome, VERSION_REPEATED);
}
END_TEST

START_TEST(version_store_open__commits_the_set)
{
    FIXTURE(f);
    struct version_misfits misfits;
    struct version_commit c;
    struct digest d;
    struct version v;

    (void)add(&f, "one", "b", 2);
    (void)add(&f, "one", "a", 1);
    c = commit_count(&f, "one", 2, &misfits);
    ck_assert_int_eq(c.outcome, VERSION_CREATED);
    ck_assert(c.has_job);
    v = read_back(&f, "one");
    ck_assert_int_eq(v.state, VERSION_PENDING);
    ck_assert_int_eq(v.expires_at_us, 0);
    GOES_WELL(&f, version_store_digest(v.files, v.file_count, &d, &f.err));
    ck_assert(digest_equal(&v.digest, &d) && !digest_equal(&v.fileset, &d));
    c = commit_count(&f, "one", 2, &misfits);
    ck_assert_int_eq(c.outcome, VERSION_REPEATED);
    ck_assert(!c.has_job);
    ck_assert_int_eq(commit_count(&f, "one", 3, &misfits).outcome, VERSION_DIFFERS);
}
END_TEST

START_TEST(version_store_open__of_one_file_is_read_as_that_file)
{
    FIXTURE(f);
    struct version_misfits misfits;
    struct digest bytes = digest_of(1);
    struct version v;

    (void)add(&f, "one", "a", 1);
    (void)commit_count(&f, "one", 1, &misfits);
    v = read_back(&f, "one");
    ck_assert(digest_equal(&v.fileset, &bytes));
    ck_assert(!digest_equal(&v.digest, &bytes));
}
END_TEST

START_TEST(version_store_open__tells_how_the_files_differ)
{
    FIXTURE(f);
    struct version_wanted wanted[] = {
        {.path = slice_of("a")},
        {.path = slice_of("b"), .has_size = true, .size = 7},
        {.path = slice_of("c"), .has_digest = true, .digest = digest_of(9)},
        {.path = slice_of("x")},
        {.path = slice_of("y")},
    };
    struct version_close close = {.namespace = slice_of("llm"),
                                  .model = slice_of("big"),
                                  .label = slice_of("one"),
                                  .wanted = wanted,
                                  .count = 5};
    struct version_misfits m;
    struct version_commit c;

    (void)add(&f, "one", "a", 1);
    (void)add(&f, "one", "b", 2);
    (void)add(&f, "one", "c", 3);
    (void)add(&f, "one", "d", 4);
    GOES_WELL(&f, version_store_commit_open(f.store, &close, &f.arena, &c, &m, &f.err));
    ck_assert_int_eq(c.outcome, VERSION_DIFFERS);
    ck_assert_int_eq(c.state, VERSION_OPEN);
    ck_assert_uint_eq(m.files, 4);
    ck_assert_uint_eq(m.kinds[MISFIT_MISSING].count, 2);
    ck_assert(slice_is(m.kinds[MISFIT_MISSING].files[1].path, "y"));
    ck_assert_uint_eq(m.kinds[MISFIT_UNEXPECTED].count, 1);
    ck_assert(slice_is(m.kinds[MISFIT_UNEXPECTED].files[0].path, "d"));
    ck_assert_uint_eq(m.kinds[MISFIT_DIFFERENT].listed, 2);
    ck_assert(slice_is(m.kinds[MISFIT_DIFFERENT].files[0].path, "b"));
    ck_assert_int_eq(read_back(&f, "one").state, VERSION_OPEN);
    close.label = slice_of("none");
    FAILS_WITH(&f, NOT_FOUND, version_store_commit_open(f.store, &close, &f.arena, &c, &m, &f.err));
}
END_TEST

START_TEST(version_store_open__expires_when_nobody_touches_it)
{
    FIXTURE(f);
    struct version_place place = add(&f, "one", "a", 1);
    struct principal all = {.id = "local"};
    struct version_expired expired;
    struct event_list events;
    struct digest alone = digest_of(1), shared = digest_of(2);
    enum blob_state state;
    uint64_t size;
    bool found;

    (void)add(&f, "one", "b", 2);
    (void)add(&f, "two", "b", 2);
    place = add(&f, "one", "a", 1);
    GOES_WELL(&f, version_store_touch(f.store, place.id + 1, 9 * HOUR_US, &f.err));
    GOES_WELL(&f, version_store_expire(f.store, place.expires_at_us - 1, &expired, &f.err));
    ck_assert_int_eq(expired.id, 0);
    GOES_WELL(&f, version_store_expire(f.store, place.expires_at_us, &expired, &f.err));
    ck_assert_int_eq(expired.id, place.id);
    ck_assert_uint_eq(expired.files, 2);
    GOES_WELL(&f, version_store_expire(f.store, place.expires_at_us, &expired, &f.err));
    ck_assert_int_eq(expired.id, 0);
    GOES_WELL(&f, blob_store_get(f.store, &alone, &state, &size, &found, &f.err));
    ck_assert(found && state == BLOB_CONDEMNED);
    GOES_WELL(&f, blob_store_get(f.store, &shared, &state, &size, &found, &f.err));
    ck_assert(found && state == BLOB_LIVE);
    GOES_WELL(&f, event_store_list(f.store, &all, 0, 10, &f.arena, &events, &f.err));
    ck_assert_uint_eq(events.count, 3);
    ck_assert(slice_is(events.events[0].kind, "version.opened"));
    ck_assert(slice_is(events.events[2].kind, "version.expired"));
    ck_assert(slice_is(events.events[2].label, "one")); /* though the version is gone */
}
END_TEST

START_TEST(version_store_open__never_lends_a_number_again)
{
    FIXTURE(f);
    struct version_place first = add(&f, "one", "a", 1), second;
    struct version_expired expired;

    GOES_WELL(&f, version_store_expire(f.store, INT64_MAX, &expired, &f.err));
    second = add(&f, "one", "a", 1);
    ck_assert_int_gt(second.id, first.id);
    ck_assert_uint_eq(read_back(&f, "one").serial, 2);
}
END_TEST

START_TEST(version_store_open__revives_condemned_bytes_and_waits_for_deleted_ones)
{
    FIXTURE(f);
    struct version_part part = part_of("two", "a", 1);
    struct version_expired expired;
    struct version_place place;
    struct digest *digests;
    enum blob_state state;
    uint64_t size;
    size_t count;
    bool found;

    (void)add(&f, "one", "a", 1);
    GOES_WELL(&f, version_store_expire(f.store, INT64_MAX, &expired, &f.err));
    (void)add(&f, "two", "a", 1);
    GOES_WELL(&f, blob_store_own_condemned(f.store, "me", 10, &f.arena, &digests, &count, &f.err));
    ck_assert_uint_eq(count, 0);
    GOES_WELL(&f, version_store_expire(f.store, INT64_MAX, &expired, &f.err));
    GOES_WELL(&f, blob_store_own_condemned(f.store, "me", 10, &f.arena, &digests, &count, &f.err));
    ck_assert_uint_eq(count, 1);
    ck_assert(digest_equal(&digests[0], &part.file.digest));
    GOES_WELL(&f, version_store_add_file(f.store, &part, &place, &f.err));
    ck_assert_int_eq(place.outcome, VERSION_AGAIN);
    GOES_WELL(&f, blob_store_release(f.store, &part.file.digest, "me", &f.err));
    ck_assert_int_eq(add(&f, "two", "a", 1).outcome, VERSION_CREATED);
    GOES_WELL(&f, blob_store_get(f.store, &part.file.digest, &state, &size, &found, &f.err));
    ck_assert(found && state == BLOB_LIVE);
}
END_TEST

SUITE(version_store_open)
{
    return suite_with(
        "version_store_open", TEST(version_store_open__begins_with_the_first_file),
        TEST(version_store_open__knows_a_file_again_and_refuses_another),
        LOOP(version_store_open__keeps_paths_apart_that_one_disk_could_not_hold, beside),
        TEST(version_store_open__has_so_many_files_at_most),
        TEST(version_store_open__holds_the_label_against_whole_versions),
        TEST(version_store_open__commits_the_set),
        TEST(version_store_open__of_one_file_is_read_as_that_file),
        TEST(version_store_open__tells_how_the_files_differ),
        TEST(version_store_open__expires_when_nobody_touches_it),
        TEST(version_store_open__never_lends_a_number_again),
        TEST(version_store_open__revives_condemned_bytes_and_waits_for_deleted_ones));
}
