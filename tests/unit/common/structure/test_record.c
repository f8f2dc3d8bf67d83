#include "common/structure/record.h"

#include "common/base/attr.h"
#include "tests/support/heap.h"
#include "tests/support/unit.h"

static const uint64_t conv_dims[] = {64, 3, 7, 7};
static const int64_t conv_strides[] = {147, 49, 7, 1};
static const struct tensor tensors[] = {
    {.name = {"conv.weight", 11}, DTYPE_FLOAT32, {4, conv_dims}, 9408, 37632},
    {.name = {"scale", 5}, DTYPE_INT64, {0, NULL}, 1, 8},
    {.name = {"scale\xff", 6}, DTYPE_INT64, {0, NULL}, 1, 8},
};
static const struct module_version versions[] = {
    {.module = {"", 0}, true, 1}, {.module = {"bn", 2}, false, 0}, {.module = {"cn", 2}, true, -3}};
static const struct entry entries[] = {{{"epoch", 5}, ENTRY_INT, {"int", 3}}};
static const uint32_t members[] = {1, 2}, order[] = {2, 0, 1};
static const struct alias_group aliases[] = {{true, members, 2}};
static const uint8_t layouts[] = {LAYOUT_STRIDED, LAYOUT_META, LAYOUT_QUANTIZED};
static const struct place places[] = {
    {true, true, COMPRESSION_DEFLATE, 3, 1000, 500, 37632, 7, conv_strides},
    {.has_bytes = false},
    {true, false, COMPRESSION_NONE, 0, UINT64_MAX, 8, 8, 0, NULL},
};

static struct container sample_containers[] = {
    {
        .path = {"", 0},
        .kind = CONTAINER_OUTER,
        .facts = {.entries = entries, .entry_count = 1},
    },
    {
        .path = {"state_dict", 10},
        .kind = CONTAINER_WEIGHTS,
        .structure = {tensors, 3},
        .facts = {true, versions, 3, entries, 1, aliases, 1, layouts, order},
        .placement = {places},
    },
};
static struct finding sample_findings[] = {
    {FINDING_ZIP_CRC, {"archive/data.pkl", 16}, {"a wrong CRC", 11}, false}};
static const struct slice sample_needs[] = {{"argparse.Namespace", 18}, {"my.Config", 9}};

static const struct inspection sample = {
    .format = {"torch-zip", 9},
    .containers = sample_containers,
    .container_count = 2,
    .default_container = 1,
    .metadata = {"{\"epoch\":90}", 12},
    .findings = sample_findings,
    .finding_count = 1,
    .findings_dropped = 5,
    .safety = SAFETY_UNLISTED,
    .weights_only = {true, false, sample_needs, 2, {"a reason", 8}},
};

static struct buf
encode(const struct inspection *in)
{
    struct buf b = buf_with_cap(1 << 20);

    record_add_inspection(&b, in);
    ck_assert_int_eq(buf_check(&b, NULL), OK);
    return b;
}

START_TEST(record__gives_back_a_whole_inspection)
{
    CLEANUP(buf_done) struct buf bytes = encode(&sample);
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();
    const struct container *c;

    ck_assert_int_eq(record_read_inspection(buf_slice_of(&bytes), &limits, &in, NULL), OK);
    memset(bytes.bytes, 0, bytes.length); /* nothing of it is still needed */
    ck_assert(slice_is(in.format, "torch-zip"));
    c = inspection_default(&in);
    ck_assert(slice_is(c->path, "state_dict"));
    ck_assert_uint_eq(c->structure.count, 3);
    ck_assert(slice_equal(c->structure.tensors[2].name, tensors[2].name));
    ck_assert(shape_equal(c->structure.tensors[0].shape, tensors[0].shape));
    ck_assert_uint_eq(c->structure.tensors[0].bytes, 37632);
    ck_assert(!facts_version(&c->facts, slice_of("bn"))->has_version);
    ck_assert_int_eq(facts_version(&c->facts, slice_of("cn"))->version, -3);
    ck_assert(slice_is(facts_entry(&c->facts, slice_of("epoch"))->type, "int"));
    ck_assert(c->facts.aliases[0].is_tied && c->facts.aliases[0].members[1] == 2);
    ck_assert_int_eq(c->facts.layouts[2], LAYOUT_QUANTIZED);
    ck_assert_uint_eq(c->facts.order[0], 2);
    ck_assert(c->placement.places[0].is_big_endian);
    ck_assert_int_eq(c->placement.places[0].compression, COMPRESSION_DEFLATE);
    ck_assert_int_eq(c->placement.places[0].strides[2], 7);
    ck_assert(!c->placement.places[1].has_bytes);
    ck_assert_uint_eq(c->placement.places[2].offset, UINT64_MAX);
    ck_assert(slice_is(in.findings[0].message, "a wrong CRC"));
    ck_assert_uint_eq(in.findings_dropped, 5);
    ck_assert(slice_is(in.weights_only.needs[1], "my.Config"));
    ck_assert(slice_is(in.metadata, "{\"epoch\":90}"));
}
END_TEST

START_TEST(record__encodes_what_it_decoded_alike)
{
    CLEANUP(buf_done) struct buf bytes = encode(&sample);
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();

    ck_assert_int_eq(record_read_inspection(buf_slice_of(&bytes), &limits, &in, NULL), OK);
    {
        CLEANUP(buf_done) struct buf again = encode(&in);

        ck_assert(slice_equal(buf_slice_of(&bytes), buf_slice_of(&again)));
    }
}
END_TEST

START_TEST(record__takes_an_empty_inspection)
{
    struct inspection empty = {.default_container = SIZE_MAX};
    CLEANUP(buf_done) struct buf bytes = encode(&empty);
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();

    ck_assert_int_eq(record_read_inspection(buf_slice_of(&bytes), &limits, &in, NULL), OK);
    ck_assert_ptr_null(inspection_default(&in));
}
END_TEST

/* Read from a copy of just that length, so that a step too far is seen by the sanitizer. */
static enum status
read_exactly(struct slice bytes, const struct limits *limits, struct inspection *ret)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 20);
    struct slice copy;

    ck_assert_int_eq(arena_copy(&arena, bytes, &copy, NULL), OK);
    return record_read_inspection(copy, limits, ret, NULL);
}

START_TEST(record__refuses_to_be_cut_anywhere)
{
    CLEANUP(buf_done) struct buf bytes = encode(&sample);
    struct limits limits = limits_default();

    for (size_t length = 0; length < bytes.length; length++) {
        CLEANUP(inspection_done) struct inspection in = {0};

        ck_assert_int_eq(read_exactly(slice_part(buf_slice_of(&bytes), 0, length), &limits, &in),
                         ERR_TRUNCATED);
    }
    buf_char(&bytes, '\0');
    {
        CLEANUP(inspection_done) struct inspection in = {0};

        ck_assert_int_eq(read_exactly(buf_slice_of(&bytes), &limits, &in), ERR_MALFORMED);
    }
}
END_TEST

/* Each byte in turn becomes each of a few others: it is refused, or what comes of it is sound enough
 * to be written and read again. */
START_TEST(record__survives_any_wrong_byte)
{
    static const uint8_t wrong[] = {0, 1, 2, 3, 0x7F, 0x80, 0xFF};
    CLEANUP(buf_done) struct buf bytes = encode(&sample);
    struct limits limits = limits_default();
    size_t refused = 0;

    limits.arena_bytes = 1 << 20;
    for (size_t at = 0; at < bytes.length; at++) {
        char right = bytes.bytes[at];

        for (size_t w = 0; w < sizeof wrong; w++) {
            CLEANUP(inspection_done) struct inspection in = {0};
            CLEANUP(inspection_done) struct inspection again = {0};
            CLEANUP(buf_done) struct buf once = {0};

            bytes.bytes[at] = (char)wrong[w];
            if (read_exactly(buf_slice_of(&bytes), &limits, &in) != OK) {
                refused++;
                continue;
            }
            once = encode(&in);
            ck_assert_int_eq(read_exactly(buf_slice_of(&once), &limits, &again), OK);
        }
        bytes.bytes[at] = right;
    }
    ck_assert_uint_gt(refused, bytes.length);
}
END_TEST

static struct tensor unsorted[] = {
    {.name = {"b", 1}, .dtype = DTYPE_INT8, .elements = 1, .bytes = 1},
    {.name = {"a", 1}, .dtype = DTYPE_INT8, .elements = 1, .bytes = 1}};
static struct tensor twice[] = {{.name = {"a", 1}, .dtype = DTYPE_INT8, .elements = 1, .bytes = 1},
                                {.name = {"a", 1}, .dtype = DTYPE_INT8, .elements = 1, .bytes = 1}};
static const uint64_t huge_dims[] = {INT64_MAX, 2};
static struct tensor huge[] = {{.name = {"a", 1}, .dtype = DTYPE_INT8, .shape = {2, huge_dims}}};
static struct tensor odd_dtype[] = {{.name = {"a", 1}, .dtype = DTYPE_COUNT}};

static const struct structure bad_structures[] = {
    {unsorted, 2},
    {twice, 2},
    {huge, 1},
    {odd_dtype, 1},
};

START_TEST(record__refuses_structures_that_break_the_rules)
{
    CLEANUP(buf_done) struct buf bytes = buf_with_cap(1 << 16);
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 16);
    struct limits limits = limits_default();
    struct structure s;

    record_add_structure(&bytes, &bad_structures[_i]);
    ck_assert_int_eq(record_read_structure(buf_slice_of(&bytes), &limits, &arena, &s, NULL),
                     ERR_MALFORMED);
}
END_TEST

static const struct structure three = {tensors, 3};
static const uint32_t beyond[] = {1, 3}, falling[] = {2, 1}, same[] = {1, 1},
                      no_order[] = {0, 1, 1}, far_order[] = {0, 1, 3};
static const uint8_t odd_layouts[] = {0, 0, LAYOUT_COUNT};
static const struct entry entries_twice[] = {{{"a", 1}, ENTRY_INT, {"int", 3}},
                                             {{"a", 1}, ENTRY_INT, {"int", 3}}};
static const struct entry odd_entry[] = {{{"a", 1}, ENTRY_KIND_COUNT, {"int", 3}}};
static const struct module_version versions_unsorted[] = {{{"b", 1}, true, 1}, {{"a", 1}, true, 1}};

static const struct facts bad_facts[] = {
    {.aliases = (const struct alias_group[]){{true, beyond, 2}}, .alias_count = 1},
    {.aliases = (const struct alias_group[]){{true, falling, 2}}, .alias_count = 1},
    {.aliases = (const struct alias_group[]){{true, same, 2}}, .alias_count = 1},
    {.aliases = (const struct alias_group[]){{true, members, 1}}, .alias_count = 1},
    {.order = no_order},
    {.order = far_order},
    {.layouts = odd_layouts},
    {.entries = entries_twice, .entry_count = 2},
    {.entries = odd_entry, .entry_count = 1},
    {.versions = versions_unsorted, .version_count = 2},
};

START_TEST(record__refuses_facts_that_break_the_rules)
{
    CLEANUP(buf_done) struct buf bytes = buf_with_cap(1 << 16);
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 16);
    struct limits limits = limits_default();
    struct facts f;
    enum status status;

    record_add_facts(&bytes, &bad_facts[_i], &three);
    status = record_read_facts(buf_slice_of(&bytes), &three, &limits, &arena, &f, NULL);
    ck_assert(status == ERR_MALFORMED || status == ERR_TRUNCATED);
}
END_TEST

static const struct slice bad_metadata[] = {
    {"[1]", 3}, {"{\"a\":1} x", 9}, {"{\"a\":1,\"a\":2}", 13}, {"{\"a\":\"\xff\"}", 9}, {"x", 1}};

START_TEST(record__refuses_metadata_that_is_no_json_object)
{
    struct inspection bad = {.default_container = SIZE_MAX, .metadata = bad_metadata[_i]};
    CLEANUP(buf_done) struct buf bytes = encode(&bad);
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();

    ck_assert_int_eq(record_read_inspection(buf_slice_of(&bytes), &limits, &in, NULL),
                     ERR_MALFORMED);
}
END_TEST

/* A count of four thousand million costs nothing: it is held against the bytes that are there. */
START_TEST(record__believes_no_count)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 16);
    struct limits limits = limits_default();
    struct structure s;

    limits.tensors = SIZE_MAX;
    ck_assert_int_eq(
        record_read_structure((struct slice){"S\1\xff\xff\xff\xff", 6}, &limits, &arena, &s, NULL),
        ERR_TRUNCATED);
    ck_assert_uint_eq(arena.used_bytes, 0);
}
END_TEST

START_TEST(record__holds_the_limits)
{
    CLEANUP(buf_done) struct buf bytes = encode(&sample);
    struct limits defaults = limits_default();

    for (int which = 0; which < 5; which++) {
        CLEANUP(inspection_done) struct inspection in = {0};
        struct limits limits = defaults;
        size_t *const fields[] = {&limits.tensors, &limits.name_bytes, &limits.rank,
                                  &limits.containers, &limits.metadata_bytes};

        *fields[which] = 1;
        ck_assert_int_eq(record_read_inspection(buf_slice_of(&bytes), &limits, &in, NULL),
                         ERR_LIMIT);
    }
}
END_TEST

START_TEST(record__says_when_memory_runs_out)
{
    CLEANUP(buf_done) struct buf bytes = encode(&sample);
    struct limits limits = limits_default();
    size_t successes = 0;
    enum status status;

    do {
        CLEANUP(inspection_done) struct inspection in = {0};

        heap_fail_after(successes++);
        status = record_read_inspection(buf_slice_of(&bytes), &limits, &in, NULL);
        heap_heal();
        ck_assert(status == OK || status == ERR_NO_MEMORY);
    } while (status != OK);
    ck_assert_uint_gt(successes, 1);
}
END_TEST

SUITE(record)
{
    return suite_with(
        "record", TEST(record__gives_back_a_whole_inspection),
        TEST(record__encodes_what_it_decoded_alike), TEST(record__takes_an_empty_inspection),
        TEST(record__refuses_to_be_cut_anywhere), TEST(record__survives_any_wrong_byte),
        LOOP(record__refuses_structures_that_break_the_rules, bad_structures),
        LOOP(record__refuses_facts_that_break_the_rules, bad_facts),
        LOOP(record__refuses_metadata_that_is_no_json_object, bad_metadata),
        TEST(record__believes_no_count), TEST(record__holds_the_limits),
        TEST(record__says_when_memory_runs_out));
}
