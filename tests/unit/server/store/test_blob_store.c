#include "server/store/blob_store.h"

#include "tests/support/unit.h"
#include "tests/unit/server/store/fixture.h"

START_TEST(blob_store__has_a_live_row_for_what_a_version_needs)
{
    FIXTURE(f);
    struct digest bytes = digest_of(1), none = digest_of(2);
    struct blob_totals totals;
    enum blob_state state;
    uint64_t size;
    bool found;

    (void)commit_bytes(&f, "one", 1);
    (void)commit_bytes(&f, "two", 1);
    GOES_WELL(&f, blob_store_get(f.store, &bytes, &state, &size, &found, &f.err));
    ck_assert(found);
    ck_assert_int_eq(state, BLOB_LIVE);
    ck_assert_uint_eq(size, 1001);
    GOES_WELL(&f, blob_store_get(f.store, &none, &state, &size, &found, &f.err));
    ck_assert(!found);
    GOES_WELL(&f, blob_store_totals(f.store, &totals, &f.err));
    ck_assert_uint_eq(totals.blobs, 1);
    ck_assert_uint_eq(totals.bytes, 1001);
}
END_TEST

START_TEST(blob_store__lets_nobody_own_what_a_version_needs)
{
    FIXTURE(f);
    struct digest bytes = digest_of(1);
    bool is_owned;

    (void)commit_bytes(&f, "one", 1);
    GOES_WELL(&f, blob_store_own_orphan(f.store, &bytes, 1001, "me", &is_owned, &f.err));
    ck_assert(!is_owned);
    FAILS_WITH(&f, CONFLICT, blob_store_release(f.store, &bytes, "me", &f.err));
}
END_TEST

START_TEST(blob_store__lets_one_own_an_orphan)
{
    FIXTURE(f);
    struct digest bytes = digest_of(1);
    bool is_owned;

    GOES_WELL(&f, blob_store_own_orphan(f.store, &bytes, 1, "me", &is_owned, &f.err));
    ck_assert(is_owned);
    GOES_WELL(&f, blob_store_own_orphan(f.store, &bytes, 1, "you", &is_owned, &f.err));
    ck_assert(!is_owned);
    FAILS_WITH(&f, CONFLICT, blob_store_release(f.store, &bytes, "you", &f.err));
    GOES_WELL(&f, blob_store_release(f.store, &bytes, "me", &f.err));
    GOES_WELL(&f, blob_store_own_orphan(f.store, &bytes, 1, "you", &is_owned, &f.err));
    ck_assert(is_owned);
}
END_TEST

START_TEST(blob_store__hands_over_what_the_dead_have_left)
{
    FIXTURE(f);
    struct digest bytes = digest_of(1);
    struct blob_left *left;
    size_t count;
    bool is_owned;

    GOES_WELL(&f, blob_store_own_orphan(f.store, &bytes, 1, "dead", &is_owned, &f.err));
    GOES_WELL(&f, blob_store_deleting(f.store, &f.arena, &left, &count, &f.err));
    ck_assert_uint_eq(count, 1);
    ck_assert(slice_is(left[0].owner, "dead"));
    ck_assert(digest_equal(&left[0].digest, &bytes));
    GOES_WELL(&f, blob_store_own_left(f.store, &bytes, "other", "me", &is_owned, &f.err));
    ck_assert(!is_owned);
    GOES_WELL(&f, blob_store_own_left(f.store, &bytes, "dead", "me", &is_owned, &f.err));
    ck_assert(is_owned);
    GOES_WELL(&f, blob_store_own_left(f.store, &bytes, "dead", "you", &is_owned, &f.err));
    ck_assert(!is_owned);
    GOES_WELL(&f, blob_store_release(f.store, &bytes, "me", &f.err));
    GOES_WELL(&f, blob_store_deleting(f.store, &f.arena, &left, &count, &f.err));
    ck_assert_uint_eq(count, 0);
}
END_TEST

SUITE(blob_store)
{
    return suite_with("blob_store", TEST(blob_store__has_a_live_row_for_what_a_version_needs),
                      TEST(blob_store__lets_nobody_own_what_a_version_needs),
                      TEST(blob_store__lets_one_own_an_orphan),
                      TEST(blob_store__hands_over_what_the_dead_have_left));
}
