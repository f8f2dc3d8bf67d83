#include <stdlib.h>

#include "common/base/attr.h"
#include "common/formats/zip_directory.h"
#include "tests/support/unit.h"
#include "tests/support/zip_maker.h"

/* One archive, read; the inspection is the test's to free. */
static enum status
read_bytes(struct slice bytes, struct inspection *in, struct zip_directory *d, struct err *err)
{
    static struct source source;
    static struct slice kept;
    struct limits limits = limits_default();

    kept = bytes;
    source = source_of_bytes(&kept);
    *in = (struct inspection){.arena = arena_with_cap(limits.arena_bytes)};
    return zip_directory_read(&source, &limits, in, d, err);
}

static bool
has_finding(const struct inspection *in, enum finding_id id, const char *subject)
{
    for (size_t i = 0; i < in->finding_count; i++) {
        if (in->findings[i].id == id && slice_is(in->findings[i].subject, subject))
            return true;
    }
    return false;
}

static const struct made_member plain[] = {
    {.name = "m/data.pkl", .bytes = "\x80\x02}q\x01."},
    {.name = "m/data/0", .bytes = "0123456789abcdefghij"},
    {.name = "m/version", .bytes = "3\n"},
};

START_TEST(zip_directory__tells_where_each_member_lies)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(1 << 20);
    CLEANUP(inspection_done) struct inspection in = {0};
    struct zip_directory d;
    const struct zip_member *m;

    made_zip(&file, plain, 3, (struct made_end){0});
    ck_assert_int_eq(read_bytes(buf_slice_of(&file), &in, &d, NULL), OK);
    ck_assert_uint_eq(in.finding_count, 0);
    ck_assert_uint_eq(d.count, 3);
    m = zip_directory_find(&d, slice_of("m/data/0"));
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(m->stored_bytes, 20);
    ck_assert_int_eq(memcmp(file.bytes + m->data_offset, "0123456789", 10), 0);
    ck_assert_uint_eq(m->head_length, ZIP_HEAD_BYTES);
    ck_assert_int_eq(memcmp(m->head, "0123456789abcdef", ZIP_HEAD_BYTES), 0);
    ck_assert_ptr_null(zip_directory_find(&d, slice_of("m/data")));
    ck_assert_ptr_null(zip_directory_find(&d, slice_of("M/data/0")));
}
END_TEST

START_TEST(zip_directory__refuses_every_truncation)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(1 << 20);

    made_zip(&file, plain, 3, (struct made_end){0});
    for (size_t length = 0; length < file.length; length++) {
        CLEANUP(inspection_done) struct inspection in = {0};
        /* A block of exactly that size, so that a sanitizer sees a read past it. */
        char *cut = malloc(length + 1);
        struct zip_directory d;
        struct err err = {0};

        memcpy(cut, file.bytes, length);
        ck_assert_int_eq(read_bytes((struct slice){cut, length}, &in, &d, &err), ERR_TRUNCATED);
        ck_assert_int_ne(err.text[0], '\0');
        free(cut);
    }
}
END_TEST

/* What is odd about an archive is told, and it is read all the same. */
static const struct {
    struct made_member first, second;
    struct made_end end;
    enum finding_id finding;
    const char *subject;
    enum safety safety;
} odd[] = {
    {{.name = "m/a", .bytes = "x", .flags = 0x1},
     {.name = "m/b"},
     {0},
     FINDING_ZIP_FLAGS,
     "m/a",
     SAFETY_CLEAN},
    {{.name = "m/a", .bytes = "x", .flags = 0x20},
     {.name = "m/b"},
     {0},
     FINDING_ZIP_FLAGS,
     "m/a",
     SAFETY_CLEAN},
    {{.name = "m/a", .bytes = "x", .flags = 0x40},
     {.name = "m/b"},
     {0},
     FINDING_ZIP_FLAGS,
     "m/a",
     SAFETY_CLEAN},
    {{.name = "m/data.pkl", .local_name = "m/datap.kl", .bytes = "x"},
     {.name = "m/b"},
     {0},
     FINDING_ZIP_NAMES,
     "m/data.pkl",
     SAFETY_CLEAN},
    {{.name = "m/a", .bytes = "x", .local_size = 99},
     {.name = "m/b"},
     {0},
     FINDING_ZIP_LOCAL,
     "m/a",
     SAFETY_CLEAN},
    {{.name = "m/a", .bytes = "x", .method = 99},
     {.name = "m/b"},
     {0},
     FINDING_ZIP_METHOD,
     "m/a",
     SAFETY_CLEAN},
    {{.name = "m/a", .bytes = "x", .told_size = 7},
     {.name = "m/b"},
     {0},
     FINDING_ZIP_MALFORMED,
     "m/a",
     SAFETY_MALFORMED},
    {{.name = "m/a", .bytes = "x"},
     {.name = "m/a", .bytes = "y"},
     {0},
     FINDING_ZIP_DUPLICATE,
     "m/a",
     SAFETY_MALFORMED},
    {{.name = "m/data.pkl", .bytes = "x"},
     {.name = "m/DATA.PKL", .bytes = "y"},
     {0},
     FINDING_ZIP_DUPLICATE,
     "m/data.pkl",
     SAFETY_MALFORMED},
    {{.name = "m/a", .bytes = "0123456789"},
     {.name = "m/b", .bytes = "x", .shift = -10},
     {0},
     FINDING_ZIP_MALFORMED,
     "m/b",
     SAFETY_MALFORMED},
    {{.name = "m/a", .bytes = "0123456789"},
     {.name = "m/b", .bytes = "x", .shift = -43},
     {0},
     FINDING_ZIP_OVERLAP,
     "m/a",
     SAFETY_MALFORMED},
    {{.name = "m/a", .bytes = "x"},
     {.name = "m/b", .bytes = "y", .shift = 1000000},
     {0},
     FINDING_ZIP_MALFORMED,
     "m/b",
     SAFETY_MALFORMED},
    {{.name = "m/../../etc/passwd"},
     {.name = "m/b"},
     {0},
     FINDING_ZIP_BAD_NAME,
     "m/../../etc/passwd",
     SAFETY_CLEAN},
    {{.name = "/etc/passwd"},
     {.name = "m/b"},
     {0},
     FINDING_ZIP_BAD_NAME,
     "/etc/passwd",
     SAFETY_CLEAN},
    {{.name = "C:x"}, {.name = "m/b"}, {0}, FINDING_ZIP_BAD_NAME, "C:x", SAFETY_CLEAN},
    {{.name = "a\\b"}, {.name = "m/b"}, {0}, FINDING_ZIP_BAD_NAME, "a\\b", SAFETY_CLEAN},
    {{.name = "\xff"}, {.name = "m/b"}, {0}, FINDING_ZIP_BAD_NAME, "\xff", SAFETY_CLEAN},
    {{.name = ""}, {.name = "m/b"}, {0}, FINDING_ZIP_BAD_NAME, "", SAFETY_CLEAN},
    {{.name = "m/a"},
     {.name = "m/b"},
     {.trailing = "tail"},
     FINDING_ZIP_TRAILING,
     "",
     SAFETY_CLEAN},
    {{.name = "m/a"},
     {.name = "m/b"},
     {.comment = "PK\5\6 not an end record at all"},
     FINDING_ZIP_MALFORMED,
     "",
     SAFETY_MALFORMED},
    {{.name = "m/a"},
     {.name = "m/b"},
     {.count_shift = -1},
     FINDING_ZIP_MALFORMED,
     "",
     SAFETY_MALFORMED},
};

START_TEST(zip_directory__tells_what_is_odd)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(1 << 20);
    CLEANUP(inspection_done) struct inspection in = {0};
    struct made_member members[] = {odd[_i].first, odd[_i].second};
    struct zip_directory d;
    struct err err = {0};

    made_zip(&file, members, 2, odd[_i].end);
    ck_assert_msg(read_bytes(buf_slice_of(&file), &in, &d, &err) == OK, "%s", err.text);
    ck_assert_msg(has_finding(&in, odd[_i].finding, odd[_i].subject), "no %s",
                  finding_name(odd[_i].finding));
    ck_assert_int_eq(in.safety, odd[_i].safety);
}
END_TEST

static const struct {
    struct made_end end;
    enum status want;
} refused[] = {
    {{.count_shift = 1}, ERR_MALFORMED},   /* more members than the directory can hold */
    {{.count_shift = -3}, ERR_MALFORMED},  /* none */
    {{.offset_shift = 1}, ERR_MALFORMED},  /* the directory would reach into its end */
    {{.offset_shift = -1}, ERR_MALFORMED}, /* it is not there */
    {{.offset_shift = 1 << 20}, ERR_MALFORMED},
};

START_TEST(zip_directory__refuses_a_directory_that_is_not_there)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(1 << 20);
    CLEANUP(inspection_done) struct inspection in = {0};
    struct zip_directory d;
    struct err err = {0};

    made_zip(&file, plain, 3, refused[_i].end);
    ck_assert_int_eq(read_bytes(buf_slice_of(&file), &in, &d, &err), refused[_i].want);
    ck_assert_int_ne(err.text[0], '\0');
}
END_TEST

START_TEST(zip_directory__marks_both_of_two_that_readers_would_mix_up)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(1 << 20);
    CLEANUP(inspection_done) struct inspection in = {0};
    static const struct made_member twins[] = {
        {.name = "m/data.pkl"}, {.name = "m/x"}, {.name = "m/DATA.pkl"}, {.name = "m/y"}};
    struct zip_directory d;

    made_zip(&file, twins, 4, (struct made_end){0});
    ck_assert_int_eq(read_bytes(buf_slice_of(&file), &in, &d, NULL), OK);
    ck_assert(d.members[0].is_ambiguous && d.members[2].is_ambiguous);
    ck_assert(!d.members[1].is_ambiguous && !d.members[3].is_ambiguous);
    ck_assert_ptr_eq(zip_directory_find(&d, slice_of("m/data.pkl")), &d.members[0]);
    ck_assert_ptr_eq(zip_directory_find(&d, slice_of("m/DATA.pkl")), &d.members[2]);
}
END_TEST

START_TEST(zip_directory__keeps_the_limit_of_members)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(1 << 20);
    struct slice bytes;
    struct source source;
    struct limits limits = limits_default();
    CLEANUP(inspection_done) struct inspection in = {.arena = arena_with_cap(1 << 20)};
    struct zip_directory d;

    made_zip(&file, plain, 3, (struct made_end){0});
    bytes = buf_slice_of(&file);
    source = source_of_bytes(&bytes);
    limits.zip_entries = 2;
    ck_assert_int_eq(zip_directory_read(&source, &limits, &in, &d, NULL), ERR_LIMIT);
}
END_TEST

/* An archive whose weights take 20 GB: what is read must not depend on them. */
struct sparse {
    struct slice tail; /* the bytes from tail_at on; zeros before, but for the local headers */
    uint64_t tail_at;
    uint64_t bytes_read;
    uint64_t reads;
};

static enum status
read_sparse(void *context, uint64_t offset, void *buffer, size_t n, struct err *err)
{
    static const char header[] =
        "PK\3\4\x2d\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\3\0\0\0m/";
    struct sparse *s = context;
    char *out = buffer;

    (void)err;
    s->bytes_read += n;
    s->reads++;
    for (size_t i = 0; i < n; i++) {
        uint64_t at = offset + i, in_member = at % 5000000000;

        out[i] = 0;
        if (at >= s->tail_at)
            out[i] = s->tail.at[at - s->tail_at];
        else if (in_member < 32)
            out[i] = header[in_member];
        else if (in_member == 32)
            out[i] = (char)('0' + at / 5000000000);
    }
    return OK;
}

static void
add_wide_entry(struct buf *b, char digit, uint64_t offset)
{
    buf_add(b, "PK\1\2", 4);
    made_le16(b, 45);
    made_le16(b, 45);
    made_le16(b, 0x0808);
    made_le16(b, 0);
    buf_le32(b, 0);
    buf_le32(b, 0);
    buf_le32(b, UINT32_MAX);
    buf_le32(b, UINT32_MAX);
    made_le16(b, 3);
    made_le16(b, offset == 0 ? 20 : 28);
    for (int i = 0; i < 3; i++)
        made_le16(b, 0);
    buf_le32(b, 0);
    buf_le32(b, offset == 0 ? 0 : UINT32_MAX);
    buf_text(b, "m/");
    buf_char(b, digit);
    made_le16(b, 1);
    made_le16(b, offset == 0 ? 16 : 24);
    buf_le64(b, 4999999000);
    buf_le64(b, 4999999000);
    if (offset != 0)
        buf_le64(b, offset);
}

START_TEST(zip_directory__reads_zip64_whatever_the_weights_weigh)
{
    CLEANUP(buf_done) struct buf tail = buf_with_cap(1 << 20);
    CLEANUP(inspection_done) struct inspection in = {.arena = arena_with_cap(1 << 20)};
    struct sparse sparse = {.tail_at = 20000000000};
    struct limits limits = limits_default();
    struct zip_directory d;
    struct err err = {0};
    size_t directory_bytes;

    for (unsigned i = 0; i < 4; i++)
        add_wide_entry(&tail, (char)('0' + i), i * UINT64_C(5000000000));
    directory_bytes = tail.length;
    buf_add(&tail, "PK\6\6", 4);
    buf_le64(&tail, 44);
    buf_le32(&tail, 0x002d002d);
    buf_le64(&tail, 0);
    buf_le64(&tail, 4);
    buf_le64(&tail, 4);
    buf_le64(&tail, directory_bytes);
    buf_le64(&tail, sparse.tail_at);
    buf_add(&tail, "PK\6\7", 4);
    buf_le32(&tail, 0);
    buf_le64(&tail, sparse.tail_at + directory_bytes);
    buf_le32(&tail, 1);
    buf_add(&tail, "PK\5\6\0\0\0\0\4\0\4\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0", 22);
    sparse.tail = buf_slice_of(&tail);

    struct source source = {sparse.tail_at + tail.length, read_sparse, &sparse};

    ck_assert_msg(zip_directory_read(&source, &limits, &in, &d, &err) == OK, "%s", err.text);
    ck_assert_uint_eq(in.finding_count, 0);
    ck_assert_uint_eq(d.count, 4);
    ck_assert_uint_eq(d.members[3].local_offset, 15000000000);
    ck_assert_uint_eq(d.members[3].data_offset, 15000000033);
    ck_assert_uint_eq(d.members[3].size_bytes, 4999999000);
    ck_assert_uint_le(sparse.bytes_read, 512 << 10);
    ck_assert_uint_le(sparse.reads, 16);
}
END_TEST

/* How much is read of bytes that are there. */
struct counted {
    struct slice bytes;
    uint64_t bytes_read;
};

static enum status
read_counted(void *context, uint64_t offset, void *buffer, size_t n, struct err *err)
{
    struct counted *c = context;

    (void)err;
    c->bytes_read += n;
    memcpy(buffer, c->bytes.at + offset, n);
    return OK;
}

enum { LEADERS = 15, FOLLOWERS = 1000, LEADER_STEP = 4000, SHARED_BYTES = 200000 };

/* Headers that lie close are read at once, but a thousand members of one header that points far away
 * must not fetch that much a thousand times. */
START_TEST(zip_directory__reads_little_however_headers_lead_about)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(1 << 20);
    CLEANUP(inspection_done) struct inspection in = {.arena = arena_with_cap(1 << 20)};
    struct limits limits = limits_default();
    struct counted counted = {.bytes_read = 0};
    struct zip_directory d;
    struct err err = {0};
    size_t directory_at;

    for (size_t i = 0; i < SHARED_BYTES; i++)
        buf_char(&file, 0);
    for (size_t i = 0; i <= LEADERS; i++) {
        char *header = file.bytes + i * LEADER_STEP;

        memcpy(header, "PK\3\4", 4);
        if (i == LEADERS)
            memcpy(header + 28, "\xff\xff", 2); /* the extra field's length */
    }
    directory_at = file.length;
    for (size_t i = 0; i < LEADERS + FOLLOWERS; i++) {
        buf_add(&file, "PK\1\2", 4);
        for (int k = 0; k < 8; k++)
            made_le16(&file, 0);
        buf_le32(&file, 16); /* stored, and in all */
        buf_le32(&file, 16);
        made_le16(&file, 6);
        for (int k = 0; k < 6; k++)
            made_le16(&file, 0);
        buf_le32(&file, (uint32_t)((i < LEADERS ? i : LEADERS) * LEADER_STEP));
        buf_printf(&file, "m/%04zu", i);
    }
    buf_add(&file, "PK\5\6\0\0\0\0", 8);
    made_le16(&file, LEADERS + FOLLOWERS);
    made_le16(&file, LEADERS + FOLLOWERS);
    buf_le32(&file, (uint32_t)(file.length - 12 - directory_at));
    buf_le32(&file, (uint32_t)directory_at);
    made_le16(&file, 0);
    counted.bytes = buf_slice_of(&file);

    struct source source = {file.length, read_counted, &counted};

    ck_assert_msg(zip_directory_read(&source, &limits, &in, &d, &err) == OK, "%s", err.text);
    ck_assert_uint_eq(d.count, LEADERS + FOLLOWERS);
    ck_assert_uint_eq(d.members[d.count - 1].data_offset, LEADERS * LEADER_STEP + 30 + 65535);
    ck_assert_uint_le(counted.bytes_read, 2 << 20);
}
END_TEST

SUITE(zip_directory)
{
    return suite_with("zip_directory", TEST(zip_directory__tells_where_each_member_lies),
                      TEST(zip_directory__refuses_every_truncation),
                      LOOP(zip_directory__tells_what_is_odd, odd),
                      LOOP(zip_directory__refuses_a_directory_that_is_not_there, refused),
                      TEST(zip_directory__marks_both_of_two_that_readers_would_mix_up),
                      TEST(zip_directory__keeps_the_limit_of_members),
                      TEST(zip_directory__reads_zip64_whatever_the_weights_weigh),
                      TEST(zip_directory__reads_little_however_headers_lead_about));
}
