#include "server/store/version_store.h"

#include <pthread.h>
#include <stdio.h>

#include "server/store/blob_store.h"
#include "server/store/event_store.h"
#include "server/store/job_store.h"
#include "tests/support/unit.h"
#include "tests/unit/server/store/fixture.h"

START_TEST(version_store__gives_a_new_label_the_first_serial)
{
    FIXTURE(f);
    struct version_commit c = commit_bytes(&f, "epoch-90", 1);

    ck_assert_int_eq(c.outcome, VERSION_CREATED);
    ck_assert_uint_eq(c.serial, 1);
    ck_assert_str_eq(c.label, "epoch-90");
    ck_assert_int_eq(c.state, VERSION_PENDING);
    ck_assert(c.has_job);
}
END_TEST

START_TEST(version_store__takes_equal_bytes_under_a_label_for_a_repeat)
{
    FIXTURE(f);
    struct version_commit first = commit_bytes(&f, "epoch-90", 1);
    struct version_commit again = commit_bytes(&f, "epoch-90", 1);

    ck_assert_int_eq(again.outcome, VERSION_REPEATED);
    ck_assert_int_eq(again.id, first.id);
    ck_assert_uint_eq(again.serial, 1);
    ck_assert(digest_equal(&again.digest, &first.digest));
    ck_assert(!again.has_job);
}
END_TEST

START_TEST(version_store__a_repeat_compares_the_bytes_and_not_the_path)
{
    FIXTURE(f);
    struct version_file file = {slice_of("other.pth"), 1001, digest_of(1)};
    struct version_new v = {.namespace = slice_of("vision"),
                            .model = slice_of("resnet50"),
                            .label = slice_of("epoch-90"),
                            .files = &file,
                            .file_count = 1};
    struct version_commit c;

    (void)commit_bytes(&f, "epoch-90", 1);
    GOES_WELL(&f, version_store_commit(f.store, &v, &c, &f.err));
    ck_assert_int_eq(c.outcome, VERSION_REPEATED);
}
END_TEST

START_TEST(version_store__refuses_other_bytes_under_a_taken_label)
{
    FIXTURE(f);
    struct version_commit first = commit_bytes(&f, "epoch-90", 1);
    struct version_commit other = commit_bytes(&f, "epoch-90", 2);

    ck_assert_int_eq(other.outcome, VERSION_TAKEN);
    ck_assert_int_eq(other.id, first.id);
    ck_assert_uint_eq(commit_bytes(&f, "epoch-91", 2).serial, 2); /* no serial was lost */
}
END_TEST

START_TEST(version_store__finds_the_next_free_label_and_repeats_under_it)
{
    FIXTURE(f);
    struct version_new v = {.namespace = slice_of("vision"),
                            .model = slice_of("resnet50"),
                            .label = slice_of("epoch-90"),
                            .wants_free_label = true};
    struct version_commit c;

    ck_assert_str_eq(commit_with(&f, v, 1).label, "epoch-90");
    ck_assert_str_eq(commit_with(&f, v, 2).label, "epoch-90.2");
    ck_assert_str_eq(commit_with(&f, v, 3).label, "epoch-90.3");
    c = commit_with(&f, v, 2);
    ck_assert_int_eq(c.outcome, VERSION_REPEATED);
    ck_assert_str_eq(c.label, "epoch-90.2");
}
END_TEST

START_TEST(version_store__says_so_when_no_free_label_is_short_enough)
{
    FIXTURE(f);
    char label[REF_LABEL_MAX + 1] = {0};
    struct version_new v = {
        .namespace = slice_of("a"), .model = slice_of("b"), .wants_free_label = true};
    struct version_file file = {slice_of("x"), 1, digest_of(2)};
    struct version_commit c;

    memset(label, 'x', REF_LABEL_MAX);
    v.label = slice_of(label);
    (void)commit_with(&f, v, 1);
    v.files = &file;
    v.file_count = 1;
    FAILS_WITH(&f, BAD_NAME, version_store_commit(f.store, &v, &c, &f.err));
}
END_TEST

START_TEST(version_store__labels_by_serial_when_no_label_is_given)
{
    FIXTURE(f);

    (void)commit_bytes(&f, "first", 1);
    ck_assert_str_eq(commit_bytes(&f, "", 2).label, "v2");
    ck_assert_str_eq(commit_bytes(&f, "", 2).label, "v3"); /* it has no label to repeat */
}
END_TEST

START_TEST(version_store__reads_back_what_was_committed)
{
    FIXTURE(f);
    struct version_pair pairs[] = {{slice_of("gpu_count"), slice_of("\"8\"")},
                                   {slice_of("host"), slice_of("\"n01\"")}};
    struct version_new v = {.namespace = slice_of("vision"),
                            .model = slice_of("resnet50"),
                            .label = slice_of("epoch-90"),
                            .metadata = pairs,
                            .metadata_count = 2};
    struct version_commit c = commit_with(&f, v, 7);
    struct ref ref = {.kind = REF_LABEL, .text = slice_of("epoch-90")};
    struct digest bytes = digest_of(7);
    struct version got;

    GOES_WELL(&f, version_store_get(f.store, v.namespace, v.model, &ref, &f.arena, &got, &f.err));
    ck_assert_int_eq(got.id, c.id);
    ck_assert(slice_is(got.namespace, "vision"));
    ck_assert(slice_is(got.model, "resnet50"));
    ck_assert(slice_is(got.label, "epoch-90"));
    ck_assert_int_eq(got.state, VERSION_PENDING);
    ck_assert(digest_equal(&got.fileset, &bytes));
    ck_assert(digest_equal(&got.digest, &c.digest));
    ck_assert_uint_eq(got.file_count, 1);
    ck_assert(slice_is(got.files[0].path, "model.pth"));
    ck_assert_uint_eq(got.files[0].size, 1007);
    ck_assert_uint_eq(got.metadata_count, 2);
    ck_assert(slice_is(got.metadata[1].key, "host"));
    ck_assert(slice_is(got.metadata[1].json, "\"n01\""));
    ck_assert_uint_eq(got.alias_count, 0);
    ck_assert_int_eq(got.inspection_id, 0);
    ck_assert(got.created_at_us > 0 && got.settled_at_us == 0);
}
END_TEST

/* SHA-256 of "<64 hex> 3 a\n<64 hex> 5 b/c\n", made with sha256sum. */
START_TEST(version_store__digests_the_lines_of_its_files)
{
    struct version_file files[] = {{slice_of("a"), 3, {{0}}}, {slice_of("b/c"), 5, {{0}}}};
    struct digest d;

    memset(files[0].digest.bytes, 0x11, DIGEST_BYTES);
    memset(files[1].digest.bytes, 0xab, DIGEST_BYTES);
    ck_assert_int_eq(version_store_digest(files, 2, &d, NULL), OK);
    ck_assert_str_eq(digest_text(&d).hex,
                     "0014e76b16a7bcc192579d175461324b4c5dcf41c64833cb17e575ab28f6ba6e");
}
END_TEST

START_TEST(version_store__keeps_several_files_sorted_by_path)
{
    FIXTURE(f);
    struct version_file files[] = {{slice_of("config.json"), 10, digest_of(1)},
                                   {slice_of("model-00001.safetensors"), 20, digest_of(2)},
                                   {slice_of("model-00002.safetensors"), 30, digest_of(3)}};
    struct version_new v = {.namespace = slice_of("a"),
                            .model = slice_of("b"),
                            .label = slice_of("x"),
                            .files = files,
                            .file_count = 3};
    struct version_commit c;
    struct version got;

    GOES_WELL(&f, version_store_commit(f.store, &v, &c, &f.err));
    GOES_WELL(&f, version_store_get_id(f.store, c.id, &f.arena, &got, &f.err));
    ck_assert_uint_eq(got.file_count, 3);
    ck_assert(slice_is(got.files[2].path, "model-00002.safetensors"));
    ck_assert(!digest_equal(&got.fileset, &got.digest));
}
END_TEST

/* What a ref is told as, and the serial of the version that it finds; 0: it is not found. */
static const struct {
    const char *ref;
    uint64_t serial;
} refs[] = {
    {"one", 1}, {"two", 2},  {"v1", 1},      {"v2", 2},       {"v3", 3},  {"v4", 0},
    {"ONE", 0}, {"none", 0}, {"@latest", 0}, {"@nothing", 0}, {"v10", 0},
};

START_TEST(version_store__finds_by_ref)
{
    FIXTURE(f);
    struct ref ref;
    struct version got;

    (void)commit_bytes(&f, "one", 1);
    (void)commit_bytes(&f, "two", 2);
    (void)commit_bytes(&f, "three", 1);
    GOES_WELL(&f, ref_parse(slice_of(refs[_i].ref), &ref, &f.err));
    if (refs[_i].serial == 0) {
        FAILS_WITH(&f, NOT_FOUND,
                   version_store_get(f.store, slice_of("vision"), slice_of("resnet50"), &ref,
                                     &f.arena, &got, &f.err));
        return;
    }
    GOES_WELL(&f, version_store_get(f.store, slice_of("vision"), slice_of("resnet50"), &ref,
                                    &f.arena, &got, &f.err));
    ck_assert_uint_eq(got.serial, refs[_i].serial);
}
END_TEST

START_TEST(version_store__finds_the_newest_version_with_a_files_digest)
{
    FIXTURE(f);
    struct ref ref = {.kind = REF_DIGEST, .digest = digest_of(1)};
    struct version got;

    (void)commit_bytes(&f, "one", 1);
    (void)commit_bytes(&f, "two", 2);
    (void)commit_bytes(&f, "three", 1);
    GOES_WELL(&f, version_store_get(f.store, slice_of("vision"), slice_of("resnet50"), &ref,
                                    &f.arena, &got, &f.err));
    ck_assert_uint_eq(got.serial, 3);
    ref.digest = got.digest; /* the version's own */
    GOES_WELL(&f, version_store_get(f.store, slice_of("vision"), slice_of("resnet50"), &ref,
                                    &f.arena, &got, &f.err));
    ck_assert_uint_eq(got.serial, 3);
}
END_TEST

START_TEST(version_store__says_which_model_is_missing)
{
    FIXTURE(f);
    struct ref ref = {.kind = REF_LABEL, .text = slice_of("x")};
    struct version got;

    FAILS_WITH(
        &f, NOT_FOUND,
        version_store_get(f.store, slice_of("no"), slice_of("such"), &ref, &f.arena, &got, &f.err));
    ck_assert_str_eq(f.err.text, "there is no model no/such");
}
END_TEST

START_TEST(version_store__lists_from_the_newest_in_pages)
{
    FIXTURE(f);
    struct page page = {.limit = 7};
    uint64_t expected = 25;
    struct version_list list;

    for (unsigned i = 1; i <= 25; i++)
        (void)commit_bytes(&f, "", i);
    do {
        GOES_WELL(&f, version_store_list(f.store, slice_of("vision"), slice_of("resnet50"), &page,
                                         &f.arena, &list, &f.err));
        for (size_t i = 0; i < list.count; i++) {
            ck_assert_uint_eq(list.versions[i].serial, expected);
            ck_assert_uint_eq(list.versions[i].file_count, 1);
            expected--;
        }
        page.cursor = list.next;
    } while (list.next.length > 0);
    ck_assert_uint_eq(expected, 0);
}
END_TEST

START_TEST(version_store__ends_a_page_early_where_versions_have_many_files)
{
    enum { FILES = 6000, VERSIONS = 3 };
    static const size_t expected[] = {2, 1};
    FIXTURE(f);
    struct version_file *files = arena_alloc(&f.arena, FILES, sizeof *files);
    struct version_new v = {
        .namespace = slice_of("a"), .model = slice_of("b"), .files = files, .file_count = FILES};
    struct page page = {0};
    struct version_commit c;
    struct version_list list;

    ck_assert_ptr_nonnull(files);
    for (size_t i = 0; i < FILES; i++) {
        files[i] = (struct version_file){.size = 1, .digest = digest_of(1)};
        ck_assert(arena_printf(&f.arena, &files[i].path, NULL, "%05zu", i) == OK);
    }
    for (size_t i = 0; i < VERSIONS; i++)
        GOES_WELL(&f, version_store_commit(f.store, &v, &c, &f.err));
    for (size_t i = 0; i < ARRAY_LENGTH(expected); i++) {
        GOES_WELL(&f, version_store_list(f.store, slice_of("a"), slice_of("b"), &page, &f.arena,
                                         &list, &f.err));
        ck_assert_uint_eq(list.count, expected[i]);
        ck_assert_uint_eq(list.versions[0].serial, i == 0 ? VERSIONS : 1);
        page.cursor = list.next;
    }
    ck_assert_uint_eq(list.next.length, 0);
}
END_TEST

START_TEST(version_store__refuses_the_cursor_of_another_list)
{
    FIXTURE(f);
    struct page page = {.cursor = slice_of("m0.612f62")};
    struct version_list list;

    (void)commit_bytes(&f, "one", 1);
    FAILS_WITH(&f, BAD_REQUEST,
               version_store_list(f.store, slice_of("vision"), slice_of("resnet50"), &page,
                                  &f.arena, &list, &f.err));
}
END_TEST

START_TEST(version_store__counts_by_state)
{
    FIXTURE(f);
    struct version_counts counts;

    (void)commit_bytes(&f, "one", 1);
    (void)commit_bytes(&f, "two", 1);
    (void)commit_bytes(&f, "three", 3);
    GOES_WELL(&f, version_store_count(f.store, &counts, &f.err));
    ck_assert_uint_eq(counts.by_state[VERSION_PENDING], 3);
    ck_assert_uint_eq(counts.by_state[VERSION_READY], 0);
    ck_assert_uint_eq(counts.jobs_queued, 2); /* equal bytes are read once */
    ck_assert_uint_eq(counts.jobs_running, 0);
}
END_TEST

START_TEST(version_store__waits_for_a_blob_that_is_being_deleted)
{
    FIXTURE(f);
    struct digest bytes = digest_of(1);
    bool is_owned;
    struct version_commit c;
    struct version got;

    GOES_WELL(&f, blob_store_own_orphan(f.store, &bytes, 1001, "me", &is_owned, &f.err));
    ck_assert(is_owned);
    c = commit_bytes(&f, "one", 1);
    ck_assert_int_eq(c.outcome, VERSION_AGAIN);
    FAILS_WITH(&f, NOT_FOUND,
               version_store_peek(f.store, slice_of("vision"), slice_of("resnet50"),
                                  slice_of("one"), &f.arena, &got, &f.err));
    GOES_WELL(&f, blob_store_release(f.store, &bytes, "me", &f.err));
    c = commit_bytes(&f, "one", 1);
    ck_assert_int_eq(c.outcome, VERSION_CREATED);
    ck_assert_uint_eq(c.serial, 1);
}
END_TEST

START_TEST(version_store__gives_the_files_of_a_job)
{
    FIXTURE(f);
    struct digest bytes = digest_of(5), none = digest_of(6);
    struct version_file *files;
    size_t count;

    (void)commit_bytes(&f, "one", 5);
    GOES_WELL(&f, version_store_fileset(f.store, &bytes, &f.arena, &files, &count, &f.err));
    ck_assert_uint_eq(count, 1);
    ck_assert(digest_equal(&files[0].digest, &bytes));
    FAILS_WITH(&f, NOT_FOUND,
               version_store_fileset(f.store, &none, &f.arena, &files, &count, &f.err));
}
END_TEST

/* ---- many at once ---- */

enum { THREADS = 8, ROUNDS = 120, LABELS = 40, CONTENTS = 3 };

struct racer {
    struct store *store;
    unsigned seed;
    unsigned created, repeated, taken;
    const char *trouble;
};

static unsigned
next_random(unsigned *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static void *
race(void *context)
{
    struct racer *r = context;

    for (int i = 0; i < ROUNDS; i++) {
        char label[32];
        struct version_file file = {slice_of("f"), 1, digest_of(next_random(&r->seed) % CONTENTS)};
        struct version_new v = {.namespace = slice_of("a"),
                                .model = slice_of("b"),
                                .label = (struct slice){label, 0},
                                .files = &file,
                                .file_count = 1};
        struct version_commit c;

        v.label.length =
            (size_t)snprintf(label, sizeof label, "label-%u", next_random(&r->seed) % LABELS);
        if (version_store_commit(r->store, &v, &c, NULL) != OK) {
            r->trouble = "a commit failed";
            break;
        }
        r->created += c.outcome == VERSION_CREATED;
        r->repeated += c.outcome == VERSION_REPEATED;
        r->taken += c.outcome == VERSION_TAKEN;
    }
    return NULL;
}

START_TEST(version_store__lets_one_of_many_have_each_label_and_leaves_no_gap)
{
    FIXTURE(f);
    struct racer racers[THREADS];
    pthread_t threads[THREADS];
    unsigned created = 0, all = 0;
    struct page page = {.limit = PAGE_MAX};
    struct version_list list;
    struct event_list events;
    struct principal everybody = {.id = "local"};

    for (unsigned i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){.store = f.store, .seed = i + 1};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_msg(racers[i].trouble == NULL, "%s", racers[i].trouble);
        created += racers[i].created;
        all += racers[i].created + racers[i].repeated + racers[i].taken;
    }
    ck_assert_uint_eq(all, THREADS * ROUNDS);
    ck_assert_uint_eq(created, LABELS);
    GOES_WELL(&f, version_store_list(f.store, slice_of("a"), slice_of("b"), &page, &f.arena, &list,
                                     &f.err));
    ck_assert_uint_eq(list.count, LABELS);
    for (size_t i = 0; i < list.count; i++) {
        ck_assert_uint_eq(list.versions[i].serial, LABELS - i);
        for (size_t j = 0; j < i; j++)
            ck_assert(!slice_equal(list.versions[i].label, list.versions[j].label));
    }
    GOES_WELL(&f, event_store_list(f.store, &everybody, 0, 0, &f.arena, &events, &f.err));
    ck_assert_uint_eq(events.count, LABELS);
    for (size_t i = 0; i < events.count; i++)
        ck_assert_int_eq(events.events[i].id, (int64_t)i + 1);
}
END_TEST

SUITE(version_store)
{
    return suite_with("version_store", TEST(version_store__gives_a_new_label_the_first_serial),
                      TEST(version_store__takes_equal_bytes_under_a_label_for_a_repeat),
                      TEST(version_store__a_repeat_compares_the_bytes_and_not_the_path),
                      TEST(version_store__refuses_other_bytes_under_a_taken_label),
                      TEST(version_store__finds_the_next_free_label_and_repeats_under_it),
                      TEST(version_store__says_so_when_no_free_label_is_short_enough),
                      TEST(version_store__labels_by_serial_when_no_label_is_given),
                      TEST(version_store__reads_back_what_was_committed),
                      TEST(version_store__digests_the_lines_of_its_files),
                      TEST(version_store__keeps_several_files_sorted_by_path),
                      LOOP(version_store__finds_by_ref, refs),
                      TEST(version_store__finds_the_newest_version_with_a_files_digest),
                      TEST(version_store__says_which_model_is_missing),
                      TEST(version_store__lists_from_the_newest_in_pages),
                      TEST(version_store__ends_a_page_early_where_versions_have_many_files),
                      TEST(version_store__refuses_the_cursor_of_another_list),
                      TEST(version_store__counts_by_state),
                      TEST(version_store__waits_for_a_blob_that_is_being_deleted),
                      TEST(version_store__gives_the_files_of_a_job),
                      TEST(version_store__lets_one_of_many_have_each_label_and_leaves_no_gap));
}
