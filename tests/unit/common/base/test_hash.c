#include "common/base/hash.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

/* FIPS 180-4's examples, and the empty text. */
static const struct {
    const char *text, *hex;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

START_TEST(hash__is_sha_256)
{
    struct digest d;

    ck_assert_int_eq(hash_bytes(vectors[_i].text, strlen(vectors[_i].text), &d, NULL), OK);
    ck_assert_str_eq(digest_text(&d).hex, vectors[_i].hex);
}
END_TEST

START_TEST(hash__gives_the_same_in_pieces_and_again)
{
    CLEANUP(hash_done) struct hash h = {0};
    struct digest whole, pieces;

    ck_assert_int_eq(hash_bytes("abc", 3, &whole, NULL), OK);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(hash_begin(&h, NULL), OK);
        hash_add(&h, "a", 1);
        hash_add(&h, NULL, 0);
        hash_add(&h, "bc", 2);
        pieces = hash_end(&h);
        ck_assert(digest_equal(&pieces, &whole));
    }
}
END_TEST

START_TEST(hash__of_a_million_letters_a)
{
    CLEANUP(hash_done) struct hash h = {0};
    struct digest d;
    char run[1000];

    memset(run, 'a', sizeof run);
    ck_assert_int_eq(hash_begin(&h, NULL), OK);
    for (int i = 0; i < 1000; i++)
        hash_add(&h, run, sizeof run);
    d = hash_end(&h);
    ck_assert_str_eq(digest_text(&d).hex,
                     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
END_TEST

START_TEST(hash__done_takes_nothing)
{
    struct hash h = {0};

    hash_done(&h);
    hash_done(&h);
    hash_done(NULL);
    ck_assert_ptr_null(h.context);
}
END_TEST

START_TEST(digest__reads_what_it_prints)
{
    struct digest d, back;

    for (size_t i = 0; i < DIGEST_BYTES; i++)
        d.bytes[i] = (uint8_t)(i * 37 + 200);
    ck_assert(digest_parse(slice_of(digest_text(&d).hex), &back));
    ck_assert(digest_equal(&d, &back));
    back.bytes[31] ^= 1;
    ck_assert(!digest_equal(&d, &back));
}
END_TEST

static const char *const not_digests[] = {
    "",
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0",
    "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ag",
    "ba7816bf8f01cfea414140de5dae2223 00361a396177a9cb410ff61f20015ad",
};

START_TEST(digest__refuses_all_but_64_lower_case_digits)
{
    struct digest d = {{7}};

    ck_assert(!digest_parse(slice_of(not_digests[_i]), &d));
    ck_assert_uint_eq(d.bytes[0], 7);
}
END_TEST

SUITE(hash)
{
    return suite_with("hash", LOOP(hash__is_sha_256, vectors),
                      TEST(hash__gives_the_same_in_pieces_and_again),
                      TEST(hash__of_a_million_letters_a), TEST(hash__done_takes_nothing),
                      TEST(digest__reads_what_it_prints),
                      LOOP(digest__refuses_all_but_64_lower_case_digits, not_digests));
}
