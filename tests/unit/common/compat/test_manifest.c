/*
 * Manifests in all their forms, and everything that is refused: each with its status and a message
 * that names the place.
 */
#include "common/compat/manifest.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "tests/support/heap.h"
#include "tests/support/unit.h"

static struct limits limits;
static struct arena arena;
static struct err err;

static void
begin(void)
{
    limits = limits_default();
    arena = arena_with_cap(limits.arena_bytes);
    err = (struct err){0};
}

static void
end(void)
{
    arena_done(&arena);
}

static struct manifest
parsed_slice(struct slice text)
{
    struct manifest m = {0};

    ck_assert_msg(manifest_parse(text, &limits, &arena, &m, &err) == OK, "%s", err.text);
    return m;
}

static struct manifest
parsed(const char *text)
{
    return parsed_slice(slice_of(text));
}

static const char whole[] =
    "{\n"
    "  \"schema\": \"ckptd/manifest/1\",\n"
    "  \"name\": \"my/net\",\n"
    "  \"tensors\": {\n"
    "    \"a.bias\": {\"shape\": [4], \"dtype\": \"float32\", \"kind\": \"parameter\"},\n"
    "    \"a.weight\": {\"shape\": [4, null]},\n"
    "    \"bn.num_batches_tracked\": {\"shape\": [], \"dtype\": \"int64\", \"kind\": \"buffer\"},\n"
    "    \"lazy.weight\": {\"shape\": null, \"dtype\": \"bfloat16\"},\n"
    "    \"tied\": {\"shape\": [4, null]}\n"
    "  },\n"
    "  \"modules\": {\n"
    "    \"\": {\"type\": \"my.Net\", \"custom_load\": true, \"post_hook\": true, \"hooks\": "
    "[\"my.hook\"]},\n"
    "    \"bn\": {\"type\": \"my.Norm\", \"base\": \"torch.nn.BatchNorm2d\", \"version\": 2, "
    "\"track_running_stats\": true},\n"
    "    \"conv\": {\"type\": \"torch.nn.Conv2d\", \"weight_norm\": [\"weight\"], "
    "\"spectral_norm\": {\"u\": 1, \"weight\": 0}},\n"
    "    \"down\": {\"type\": null},\n"
    "    \"lazy\": {\"type\": \"torch.nn.LazyLinear\", \"lazy\": true}\n"
    "  },\n"
    "  \"tied\": [\n"
    "    [\"a.weight\", \"tied\"]\n"
    "  ],\n"
    "  \"optional\": [\"*.position_ids\"],\n"
    "  \"extra_state\": [\"head._extra_state\"],\n"
    "  \"load\": {\"loader\": \"lightning\", \"container\": \"ema\"},\n"
    "  \"expect\": {\"allow_missing\": [\"head.*\"], \"allow_unexpected\": [\"x\"], "
    "\"allow_mismatch\": [\"y\", \"z\"], \"min_coverage\": 0.99},\n"
    "  \"source\": {\"entry\": \"my:net\", \"kwargs\": {}}\n"
    "}\n";

START_TEST(manifest__reads_all_that_the_schema_has)
{
    struct manifest m;
    const struct manifest_module *module;

    begin();
    m = parsed(whole);
    ck_assert(slice_is(m.name, "my/net"));
    ck_assert_uint_eq(m.count, 5);
    ck_assert_uint_eq(m.module_count, 5);
    ck_assert(m.has_modules);
    ck_assert_int_eq(manifest_find(&m, slice_of("a.bias"))->kind, EXPECTED_PARAMETER);
    ck_assert_uint_eq(manifest_find(&m, slice_of("a.weight"))->shape.dims[1], MANIFEST_ANY_DIM);
    ck_assert_uint_eq(manifest_find(&m, slice_of("bn.num_batches_tracked"))->shape.rank, 0);
    ck_assert(!manifest_find(&m, slice_of("lazy.weight"))->has_shape);
    ck_assert_int_eq(manifest_find(&m, slice_of("lazy.weight"))->dtype, DTYPE_BFLOAT16);
    ck_assert_ptr_null(manifest_find(&m, slice_of("b")));

    module = manifest_module_find(&m, (struct slice){0});
    ck_assert(module->custom_load && module->post_hook && module->hooks.count == 1);
    module = manifest_module_find(&m, slice_of("bn"));
    ck_assert(module->has_version && module->version == 2);
    ck_assert(module->says_stats && module->track_running_stats);
    ck_assert(slice_is(module->base, "torch.nn.BatchNorm2d"));
    module = manifest_module_find(&m, slice_of("conv"));
    ck_assert_uint_eq(module->spectral_count, 2);
    ck_assert_uint_eq(module->spectral[0].dim, 1);
    ck_assert(slice_is(module->weight_norm.names[0], "weight"));
    ck_assert(manifest_module_find(&m, slice_of("down"))->is_none);
    ck_assert(manifest_module_find(&m, slice_of("lazy"))->is_lazy);
    ck_assert_ptr_null(manifest_module_find(&m, slice_of("x")));

    ck_assert_uint_eq(m.tied_count, 1);
    ck_assert(slice_is(m.loader, "lightning"));
    ck_assert(m.has_container && slice_is(m.container, "ema"));
    ck_assert_uint_eq(m.expect.allow_mismatch.count, 2);
    ck_assert(m.expect.has_min_coverage && m.expect.min_coverage == 0.99);
    end();
}
END_TEST

START_TEST(manifest__prints_what_it_read)
{
    struct buf out = buf_with_cap(1 << 20);
    struct manifest m;

    begin();
    m = parsed(whole);
    manifest_print(&out, &m);
    ck_assert_str_eq(out.bytes, whole);
    buf_done(&out);
    end();
}
END_TEST

/* One architecture in every form. */
static const char *const forms[] = {
    "{\"a\": [1, 2], \"b\": [], \"c\": [null]}",
    "{\"c\": [null], \"b\": [], \"a\": [1, 2]}",
    "\xEF\xBB\xBF {\"a\": [1, 2], \"b\": [], \"c\": [null]}",
    "{\"schema\": \"ckptd/manifest/1\", \"tensors\": {\"a\": [1, 2], \"b\": [], \"c\": [null]}}",
    "{\"tensors\": {\"a\": {\"shape\": [1, 2]}, \"b\": {\"shape\": []}, \"c\": [null]}}",
    "{\"name\": \"x\", \"source\": [1], \"optional\": [],"
    " \"tensors\": {\"b\": [], \"a\": [1, 2], \"c\": [null]}}",
    "a: [1, 2]\nb: []\nc: [null]\n",
    "c: [~]\na:\n- 1\n- 2\nb: []\n",
    "{a: [1, 2], 'b': [], \"c\": [null]}",
    "schema: ckptd/manifest/1\nname: y\ntensors:\n  a: {shape: [1, 2]}\n  b: {shape: []}\n  c: "
    "[null]\n",
};

START_TEST(manifest__is_the_same_in_every_form)
{
    struct manifest first, other;

    begin();
    first = parsed(forms[0]);
    other = parsed(forms[_i]);
    ck_assert(digest_equal(&first.digest, &other.digest));
    end();
}
END_TEST

/* Each differs from the first form in something that its digest must tell. */
static const char *const others[] = {
    "{\"a\": [1, 2], \"b\": [], \"c\": [1]}",
    "{\"a\": [1, 2], \"b\": [], \"c\": null}",
    "{\"a\": [1, 2], \"b\": [0], \"c\": [null]}",
    "{\"a\": [1, 2], \"b\": [], \"d\": [null]}",
    "{\"a\": [1, 2], \"c\": [null]}",
    "{\"tensors\": {\"a\": [1, 2], \"b\": [], \"c\": [null]}, \"modules\": {}}",
    "{\"tensors\": {\"a\": [1, 2], \"b\": [], \"c\": [null]}, \"optional\": [\"x\"]}",
    "{\"tensors\": {\"a\": [1, 2], \"b\": [], \"c\": [null]}, \"extra_state\": [\"x\"]}",
    "{\"tensors\": {\"a\": [1, 2], \"b\": [], \"c\": [null]}, \"tied\": [[\"a\", \"b\"]]}",
    "{\"tensors\": {\"a\": [1, 2], \"b\": [], \"c\": [null]}, \"load\": {\"loader\": \"torch\"}}",
    "{\"tensors\": {\"a\": [1, 2], \"b\": [], \"c\": [null]}, \"load\": {\"container\": \"\"}}",
    "{\"tensors\": {\"a\": [1, 2], \"b\": [], \"c\": [null]}, \"expect\": {\"min_coverage\": 1}}",
    "{\"tensors\": {\"a\": [1, 2], \"b\": {\"shape\": [], \"dtype\": \"bool\"}, \"c\": [null]}}",
    "{\"tensors\": {\"a\": [1, 2], \"b\": {\"shape\": [], \"kind\": \"buffer\"}, \"c\": [null]}}",
};

START_TEST(manifest__has_a_digest_of_all_that_counts)
{
    struct manifest first, other;

    begin();
    first = parsed(forms[0]);
    other = parsed(others[_i]);
    ck_assert(!digest_equal(&first.digest, &other.digest));
    end();
}
END_TEST

START_TEST(manifest__reads_a_safetensors_header_and_a_whole_file)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"tensors\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[8,10]}}   ";
    char file[512] = {0};
    struct manifest m, n;

    begin();
    m = parsed(header);
    ck_assert_uint_eq(m.count, 2);
    ck_assert_int_eq(m.tensors[0].dtype, DTYPE_FLOAT32);
    ck_assert_int_eq(m.tensors[1].dtype, DTYPE_BFLOAT16);
    file[0] = (char)(sizeof header - 1);
    memcpy(file + 8, header, sizeof header - 1);
    n = parsed_slice((struct slice){file, 8 + sizeof header - 1 + 10});
    ck_assert(digest_equal(&m.digest, &n.digest));

    /* A tensor called "tensors" may come first as well. */
    m = parsed("{\"tensors\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[8,10]}}");
    ck_assert_uint_eq(m.count, 1);
    ck_assert(slice_is(m.tensors[0].name, "tensors"));
    end();
}
END_TEST

START_TEST(manifest__takes_extra_state_out_of_the_tensors)
{
    struct manifest m;

    begin();
    m = parsed("{\"tensors\": {\"a._extra_state\": [3], \"a.w\": [1], \"_extra_state\": [1]},"
               " \"extra_state\": [\"z._extra_state\", \"a._extra_state\"]}");
    ck_assert_uint_eq(m.count, 1);
    ck_assert_uint_eq(m.extra_state.count, 3);
    ck_assert(slice_is(m.extra_state.names[0], "_extra_state"));
    ck_assert(slice_is(m.extra_state.names[2], "z._extra_state"));
    end();
}
END_TEST

START_TEST(manifest__is_made_of_a_container)
{
    static const uint64_t dims[] = {3, 2};
    static const struct tensor tensors[] = {
        {.name = {"a", 1}, .dtype = DTYPE_FLOAT16, .shape = {2, dims}, .elements = 6},
        {.name = {"b", 1}, .dtype = DTYPE_FLOAT16, .shape = {2, dims}, .elements = 6},
    };
    static const struct entry entries[] = {
        {.name = {"epoch", 5}, .kind = ENTRY_INT},
        {.name = {"m._extra_state", 14}, .kind = ENTRY_DICT},
    };
    static const uint32_t members[] = {0, 1};
    static const struct alias_group aliases[] = {{.is_tied = true, .members = members, .count = 2}};
    const struct container c = {
        .structure = {.tensors = tensors, .count = 2},
        .facts = {.entries = entries, .entry_count = 2, .aliases = aliases, .alias_count = 1},
    };
    struct manifest m, again;
    struct buf out = buf_with_cap(1 << 16);

    begin();
    ck_assert_int_eq(manifest_of_container(&c, &arena, &m, &err), OK);
    ck_assert_uint_eq(m.count, 2);
    ck_assert(!m.has_modules);
    ck_assert_uint_eq(m.tied_count, 1);
    ck_assert_uint_eq(m.extra_state.count, 1);
    manifest_print(&out, &m);
    again = parsed_slice(buf_slice_of(&out));
    ck_assert(digest_equal(&m.digest, &again.digest));
    buf_done(&out);
    end();
}
END_TEST

#define TENSORS(rest) "{\"tensors\": {\"a\": [1], \"b\": [1]}, " rest "}"
#define MODULE(row)   "{\"tensors\": {\"a\": [1]}, \"modules\": {\"m\": " row "}}"

static const struct {
    const char *text;
    enum status status;
    const char *says; /* part of the message */
} refused[] = {
    {"", ERR_BAD_JSON, "empty"},
    {"  \n", ERR_BAD_JSON, ""},
    {"\x01\x02\x03", ERR_BAD_JSON, "neither JSON nor YAML"},
    {"{\"a\": [1}", ERR_BAD_JSON, ""},
    {"{\"a\": [1]", ERR_BAD_JSON, ""},
    {"{\"a\": [1]} {}", ERR_BAD_JSON, "more text"},
    {"{\"a\": [1], \"a\": [2]}", ERR_BAD_JSON, "\"a\" occurs twice"},
    {"{\"b\": [1], \"a\": [2], \"b\": [2]}", ERR_BAD_JSON, "\"b\" occurs twice"},
    {"a: [1]\na: [2]\n", ERR_BAD_JSON, "\"a\" occurs twice"},
    {"<html><body>404</body></html>", ERR_BAD_MANIFEST, "found a string"},
    {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ERR_BAD_MANIFEST, "a string"},
    {"[]", ERR_BAD_MANIFEST, "found a list"},
    {"\"a\"", ERR_BAD_MANIFEST, "found a string"},
    {"{}", ERR_BAD_MANIFEST, "names no tensor"},
    {"{\"__metadata__\": {}}", ERR_BAD_MANIFEST, "names no tensor"},
    {"{\"schema\": \"ckptd/manifest/1\"}", ERR_BAD_MANIFEST, "\"tensors\" is missing"},
    {"{\"schema\": \"ckptd/manifest/2\", \"tensors\": {}}", ERR_BAD_MANIFEST, "ckptd/manifest/1"},
    {"{\"schema\": \"ckptd/remap/1\", \"passes\": []}", ERR_BAD_MANIFEST, "ckptd/manifest/1"},
    {"{\"schema\": 1, \"tensors\": {}}", ERR_BAD_MANIFEST, "\"schema\": expected"},
    {"{\"a\": 1}", ERR_BAD_MANIFEST, "\"a\": expected a list of dimensions"},
    {"{\"a\": \"float32[3]\"}", ERR_BAD_MANIFEST, "found a string"},
    {"{\"a\": [-1]}", ERR_BAD_MANIFEST, "null for any; found -1"},
    {"{\"a\": [1.5]}", ERR_BAD_MANIFEST, "found 1.5"},
    {"{\"a\": [\"1\"]}", ERR_BAD_MANIFEST, "found a string"},
    {"{\"a\": [9223372036854775808]}", ERR_BAD_MANIFEST, "whole number"},
    {"{\"a\": [4294967296, 4294967296]}", ERR_BAD_MANIFEST, "2^63-1"},
    {"{\"a\": [0, 4294967296, 4294967296]}", ERR_BAD_MANIFEST, "2^63-1"},
    {"{\"a\": {\"dtype\": \"float32\"}}", ERR_BAD_MANIFEST, "\"a\": \"shape\" is missing"},
    {"{\"a\": {\"shape\": [1], \"dtyp\": \"float32\"}}", ERR_BAD_MANIFEST, "none of shape, dtype"},
    {"{\"a\": {\"shape\": [1], \"dtype\": \"flaot32\"}}", ERR_BAD_MANIFEST, "\"flaot32\""},
    {"{\"a\": {\"shape\": [1], \"dtype\": 3}}", ERR_BAD_MANIFEST, "\"dtype\": expected"},
    {"{\"a\": {\"shape\": [1], \"kind\": \"weight\"}}", ERR_BAD_MANIFEST, "\"parameter\" or"},
    {"{\"a\": {\"shape\": \"x\"}}", ERR_BAD_MANIFEST, "\"a\", \"shape\": expected a list"},
    {"{\"schema\": \"ckptd/manifest/1\", \"tensors\": []}", ERR_BAD_MANIFEST, "an object of names"},
    {TENSORS("\"tensor\": {}"), ERR_BAD_MANIFEST, "no key \"tensor\""},
    {TENSORS("\"name\": 1"), ERR_BAD_MANIFEST, "\"name\""},
    {TENSORS("\"modules\": []"), ERR_BAD_MANIFEST, "\"modules\": expected an object"},
    {TENSORS("\"tied\": {}"), ERR_BAD_MANIFEST, "\"tied\""},
    {TENSORS("\"tied\": [[\"a\"]]"), ERR_BAD_MANIFEST, "two names"},
    {TENSORS("\"tied\": [[\"a\", \"c\"]]"), ERR_BAD_MANIFEST, "\"c\" is not among"},
    {TENSORS("\"tied\": [[\"a\", \"a\"]]"), ERR_BAD_MANIFEST, "\"a\" is in two groups"},
    {TENSORS("\"tied\": [[\"a\", \"b\"], [\"b\", \"a\"]]"), ERR_BAD_MANIFEST, "in two groups"},
    {TENSORS("\"optional\": \"a\""), ERR_BAD_MANIFEST, "\"optional\": expected a list of strings"},
    {TENSORS("\"optional\": [1]"), ERR_BAD_MANIFEST, "\"optional\""},
    {TENSORS("\"extra_state\": {}"), ERR_BAD_MANIFEST, "\"extra_state\""},
    {TENSORS("\"load\": \"torch\""), ERR_BAD_MANIFEST, "\"load\""},
    {TENSORS("\"load\": {\"loader\": \"keras\"}"), ERR_BAD_MANIFEST, "\"keras\"; there are torch"},
    {TENSORS("\"load\": {\"container\": null}"), ERR_BAD_MANIFEST, "\"container\""},
    {TENSORS("\"load\": {\"path\": \"\"}"), ERR_BAD_MANIFEST, "none of loader, container"},
    {TENSORS("\"expect\": {\"min_coverage\": 2}"), ERR_BAD_MANIFEST, "from 0 to 1"},
    {TENSORS("\"expect\": {\"min_coverage\": \"all\"}"), ERR_BAD_MANIFEST, "from 0 to 1"},
    {TENSORS("\"expect\": {\"allow\": []}"), ERR_BAD_MANIFEST, "none of allow_missing"},
    {TENSORS("\"expect\": {\"allow_missing\": \"x\"}"), ERR_BAD_MANIFEST, "\"allow_missing\""},
    {MODULE("[]"), ERR_BAD_MANIFEST, "\"modules\", \"m\": expected an object"},
    {MODULE("{\"type\": 1}"), ERR_BAD_MANIFEST, "\"m\", \"type\""},
    {MODULE("{\"base\": null}"), ERR_BAD_MANIFEST, "\"base\""},
    {MODULE("{\"version\": \"2\"}"), ERR_BAD_MANIFEST, "\"version\": expected a whole number"},
    {MODULE("{\"version\": 2.5}"), ERR_BAD_MANIFEST, "\"version\""},
    {MODULE("{\"lazy\": 1}"), ERR_BAD_MANIFEST, "\"lazy\": expected true or false"},
    {MODULE("{\"custom_load\": \"yes\"}"), ERR_BAD_MANIFEST, "\"custom_load\""},
    {MODULE("{\"weight_norm\": \"weight\"}"), ERR_BAD_MANIFEST, "\"weight_norm\""},
    {MODULE("{\"spectral_norm\": [\"weight\"]}"), ERR_BAD_MANIFEST, "\"spectral_norm\""},
    {MODULE("{\"spectral_norm\": {\"weight\": 64}}"), ERR_BAD_MANIFEST, "from 0 to 63"},
    {MODULE("{\"spectral_norm\": {\"weight\": -1}}"), ERR_BAD_MANIFEST, "from 0 to 63"},
    {MODULE("{\"hooks\": [null]}"), ERR_BAD_MANIFEST, "\"hooks\""},
};

START_TEST(manifest__refuses_what_cannot_be)
{
    struct manifest m;

    begin();
    ck_assert_int_eq(manifest_parse(slice_of(refused[_i].text), &limits, &arena, &m, &err),
                     refused[_i].status);
    ck_assert_int_eq(err.code, refused[_i].status);
    ck_assert_msg(strstr(err.text, refused[_i].says) != NULL, "%s", err.text);
    end();
}
END_TEST

START_TEST(manifest__passes_over_what_newer_clients_say_of_a_module)
{
    begin();
    ck_assert_uint_eq(parsed(MODULE("{\"type\": \"x\", \"later\": {\"a\": [1]}}")).module_count, 1);
    end();
}
END_TEST

static void
expect_limit(struct slice text)
{
    struct manifest m;

    ck_assert_msg(manifest_parse(text, &limits, &arena, &m, &err) == ERR_LIMIT, "%s", err.text);
    err = (struct err){0};
}

START_TEST(manifest__keeps_every_limit)
{
    struct buf globs = buf_with_cap(1 << 16);

    begin();
    limits.manifest_bytes = 8;
    expect_limit(slice_of("{\"a\": [1]}"));
    limits = limits_default();
    limits.tensors = 1;
    expect_limit(slice_of("{\"a\": [1], \"b\": [1]}"));
    expect_limit(slice_of(TENSORS("\"modules\": {}")));
    limits = limits_default();
    limits.name_bytes = 3;
    expect_limit(slice_of("{\"abcd\": [1]}"));
    expect_limit(slice_of("{\"tensors\": {\"a\": [1]}, \"modules\": {\"abcd\": {}}}"));
    limits = limits_default();
    limits.rank = 2;
    expect_limit(slice_of("{\"a\": [1, 1, 1]}"));
    limits = limits_default();
    limits.json_tokens = 5;
    expect_limit(slice_of("{\"a\": [1, 1, 1]}"));
    expect_limit(slice_of("a: [1, 1, 1, 1, 1]"));
    limits = limits_default();
    buf_text(&globs, "{\"tensors\": {\"a\": [1]}, \"optional\": [\"x\"");
    for (int i = 0; i < 256; i++)
        buf_text(&globs, ", \"x\"");
    buf_text(&globs, "]}");
    expect_limit(buf_slice_of(&globs));
    buf_done(&globs);
    end();
}
END_TEST

/* What a hostile body repeats, after its beginning. */
static const struct {
    const char *head;
    const char *unit;
    enum status status;
} deep[] = {
    {"", "[", ERR_BAD_MANIFEST},
    {"{\"a\":", "[", ERR_BAD_MANIFEST},
    {"{\"tensors\":", "[", ERR_LIMIT},
    {"{\"source\":", "[", ERR_LIMIT},
    {"{\"source\":", "{\"a\":", ERR_LIMIT},
    {"{\"name\":", "[", ERR_LIMIT},
    {"a: ", "[", ERR_LIMIT},
    {"a: ", "{a: ", ERR_LIMIT},
    {"", "- ", ERR_LIMIT},
    {"", "? ", ERR_BAD_MANIFEST},
};

START_TEST(manifest__fails_at_once_on_64_mib_of_brackets)
{
    size_t length = (size_t)64 << 20, head = strlen(deep[_i].head), unit = strlen(deep[_i].unit);
    char *text = mem_new(length, 1);
    struct manifest m;

    begin();
    ck_assert_ptr_nonnull(text);
    memcpy(text, deep[_i].head, head);
    for (size_t at = head; at < length; at++)
        text[at] = deep[_i].unit[(at - head) % unit];
    ck_assert_int_eq(manifest_parse((struct slice){text, length}, &limits, &arena, &m, &err),
                     deep[_i].status);
    ck_assert_uint_lt(arena.used_bytes, 100000);
    mem_free(text);
    end();
}
END_TEST

START_TEST(manifest__says_when_memory_is_short)
{
    size_t refusals = 0;

    begin();
    for (size_t cap = 0;; cap += 16) {
        struct arena small = arena_with_cap(cap);
        struct manifest m;
        enum status status = manifest_parse(slice_of(whole), &limits, &small, &m, NULL);

        arena_done(&small);
        if (status == OK)
            break;
        ck_assert_int_eq(status, ERR_LIMIT);
        refusals++;
    }
    ck_assert_uint_gt(refusals, 10);
    end();
}
END_TEST

/* In JSON, and in the YAML that means the same: every allocation fails once. */
START_TEST(manifest__survives_a_heap_that_gives_out)
{
    const char *const texts[] = {whole, forms[9]};
    size_t refusals = 0;

    begin();
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        for (size_t successes = 0;; successes++) {
            struct arena small = arena_with_cap(1 << 20);
            struct manifest m;
            enum status status;

            heap_fail_after(successes);
            status = manifest_parse(slice_of(texts[i]), &limits, &small, &m, NULL);
            heap_heal();
            arena_done(&small);
            if (status == OK)
                break;
            ck_assert_int_eq(status, ERR_NO_MEMORY);
            refusals++;
        }
    ck_assert_uint_gt(refusals, 5);
    end();
}
END_TEST

/* Cut anywhere, it is an error and never a crash; a shorter YAML may be whole. */
START_TEST(manifest__survives_being_cut)
{
    begin();
    for (size_t length = 0; length < sizeof whole - 3; length++) {
        struct manifest m;
        char *copy = mem_copy(whole, length);

        ck_assert_int_ne(manifest_parse((struct slice){copy, length}, &limits, &arena, &m, NULL),
                         OK);
        mem_free(copy);
    }
    end();
}
END_TEST

SUITE(manifest)
{
    return suite_with(
        "manifest", TEST(manifest__reads_all_that_the_schema_has),
        TEST(manifest__prints_what_it_read), LOOP(manifest__is_the_same_in_every_form, forms),
        LOOP(manifest__has_a_digest_of_all_that_counts, others),
        TEST(manifest__reads_a_safetensors_header_and_a_whole_file),
        TEST(manifest__takes_extra_state_out_of_the_tensors),
        TEST(manifest__is_made_of_a_container), LOOP(manifest__refuses_what_cannot_be, refused),
        TEST(manifest__passes_over_what_newer_clients_say_of_a_module),
        TEST(manifest__keeps_every_limit),
        LOOP(manifest__fails_at_once_on_64_mib_of_brackets, deep),
        TEST(manifest__says_when_memory_is_short), TEST(manifest__survives_a_heap_that_gives_out),
        TEST(manifest__survives_being_cut));
}
