#include "common/structure/fingerprint.h"

#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/json.h"
#include "tests/support/heap.h"
#include "tests/support/unit.h"

/* A row of tests/cases/fingerprint/vectors.json, which a second program computed. */
struct vector {
    struct slice title, want[3];
    struct structure structure;
};

static struct slice
read_vectors(struct arena *arena)
{
    static char text[1 << 16];
    FILE *file = fopen(CASES_DIR "/fingerprint/vectors.json", "rb");
    struct slice copy;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(
        arena_copy(arena, (struct slice){text, fread(text, 1, sizeof text, file)}, &copy, NULL),
        OK);
    ck_assert(feof(file));
    fclose(file);
    return copy;
}

static enum status
read_tensor(struct json *j, struct arena *arena, struct tensor *t, struct err *err)
{
    uint64_t *dims = arena_alloc(arena, TENSOR_RANK_MAX, sizeof *dims);
    struct slice dtype;
    bool is_end;

    TRY(json_array(j, "a tensor", err));
    TRY(json_string(j, "a name", &t->name, err));
    TRY(json_string(j, "a dtype", &dtype, err));
    t->dtype = dtype_find(dtype);
    t->shape.dims = dims;
    TRY(json_array(j, "a shape", err));
    for (;;) {
        TRY(json_element(j, &is_end, err));
        if (is_end)
            break;
        TRY(json_u64(j, "a dimension", &dims[t->shape.rank++], err));
    }
    return json_element(j, &is_end, err);
}

static enum status
read_structure(struct json *j, struct arena *arena, struct structure *s, struct err *err)
{
    struct tensor *tensors = arena_alloc(arena, 128, sizeof *tensors);
    bool is_end;

    TRY(json_array(j, "tensors", err));
    s->tensors = tensors;
    s->count = 0;
    for (;;) {
        TRY(json_element(j, &is_end, err));
        if (is_end)
            return OK;
        TRY(read_tensor(j, arena, &tensors[s->count++], err));
    }
}

static enum status
read_vector(struct json *j, struct arena *arena, struct vector *v, struct err *err)
{
    static const char *const keys[] = {"structure", "architecture", "skeleton"};
    struct slice key;
    bool is_end;

    *v = (struct vector){0};
    TRY(json_object(j, "a vector", err));
    for (;;) {
        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            return OK;
        if (slice_is(key, "title"))
            TRY(json_string(j, "title", &v->title, err));
        else if (slice_is(key, "tensors"))
            TRY(read_structure(j, arena, &v->structure, err));
        for (int i = 0; i < 3; i++)
            if (slice_is(key, keys[i]))
                TRY(json_string(j, keys[i], &v->want[i], err));
    }
}

/* Calls check for each vector. */
static void
each_vector(void (*check)(const struct vector *v, void *context), void *context)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(16 << 20);
    CLEANUP(json_done) struct json j;
    struct limits limits = limits_default();
    struct vector v;
    size_t count = 0;
    bool is_end;

    json_open(&j, read_vectors(&arena), &limits, &arena);
    ck_assert_int_eq(json_array(&j, "vectors", NULL), OK);
    for (;;) {
        ck_assert_int_eq(json_element(&j, &is_end, NULL), OK);
        if (is_end)
            break;
        ck_assert_int_eq(read_vector(&j, &arena, &v, NULL), OK);
        check(&v, context);
        count++;
    }
    ck_assert_uint_gt(count, 20);
}

static struct fingerprints
fingerprints_of(const struct structure *s)
{
    struct limits limits = limits_default();
    struct fingerprints f;

    ck_assert_int_eq(fingerprint_structure(s, &limits, &f, NULL), OK);
    return f;
}

static void
check_vector(const struct vector *v, void *context)
{
    struct fingerprints f = fingerprints_of(&v->structure);
    const struct digest *const found[] = {&f.structure, &f.architecture, &f.skeleton};

    (void)context;
    for (int i = 0; i < 3; i++) {
        struct fingerprint_text text = fingerprint_text((enum fingerprint_kind)i, found[i]);

        ck_assert_msg(slice_is(v->want[i], text.text), "%.*s: %s", SLICE_PRINT(v->title),
                      text.text);
    }
}

START_TEST(fingerprint__equals_the_vectors)
{
    each_vector(check_vector, NULL);
}
END_TEST

struct wanted {
    const char *title;
    struct fingerprints *ret;
    bool is_found;
};

static void
take_wanted(const struct vector *v, void *context)
{
    struct wanted *wanted = context;

    if (slice_is(v->title, wanted->title)) {
        *wanted->ret = fingerprints_of(&v->structure);
        wanted->is_found = true;
    }
}

static struct fingerprints
fingerprints_named(const char *title)
{
    struct fingerprints f = {0};
    struct wanted wanted = {.title = title, .ret = &f};

    each_vector(take_wanted, &wanted);
    ck_assert_msg(wanted.is_found, "%s", title);
    return f;
}

/* Which of the three agree, as the design promises it. */
static const struct {
    const char *a, *b;
    bool structure, architecture, skeleton;
} relations[] = {
    {"a small net", "the same under module.", false, true, true},
    {"a small net", "the same in stacked wrappers", false, true, true},
    {"a small net", "the same wrapped mid-path", false, true, true},
    {"a small net", "the same in half precision", false, true, true},
    {"a small net", "the same renamed", false, false, true},
    {"a small net", "the same below one more module", false, false, true},
    {"a small net", "one tensor", false, false, false},
    {"twelve numbered blocks, so that 10 sorts before 2", "the blocks without their counters",
     false, true, true},
    {"twelve numbered blocks, so that 10 sorts before 2", "the blocks numbered from 1", false,
     false, true},
    {"twelve numbered blocks, so that 10 sorts before 2", "the blocks in another order", false,
     false, false},
    {"numbers with a gap", "numbers with a gap, other order", false, false, true},
};

START_TEST(fingerprint__agree_where_they_should)
{
    struct fingerprints a = fingerprints_named(relations[_i].a);
    struct fingerprints b = fingerprints_named(relations[_i].b);

    ck_assert_int_eq(digest_equal(&a.structure, &b.structure), relations[_i].structure);
    ck_assert_int_eq(digest_equal(&a.architecture, &b.architecture), relations[_i].architecture);
    ck_assert_int_eq(digest_equal(&a.skeleton, &b.skeleton), relations[_i].skeleton);
}
END_TEST

static const struct {
    const char *name;
    uint32_t rank;
    uint64_t dims[4];
    bool is_benign;
} buffers[] = {
    {"bn1.num_batches_tracked", 0, {0}, true},
    {"num_batches_tracked", 0, {0}, true},
    {"bn1.num_batches_tracked", 1, {1}, false},
    {"h.0.attn.bias", 4, {1, 1, 1024, 1024}, true},
    {"h.0.attn.bias", 4, {1, 1, 1024, 1023}, false},
    {"fc.bias", 1, {1000}, false},
    {"embeddings.position_ids", 2, {1, 512}, true},
    {"running_mean", 1, {64}, false},
    {"total_ops.weight", 1, {1}, false},
    {"my_num_batches_tracked", 0, {0}, false},
};

START_TEST(fingerprint__tells_benign_buffers_from_weights)
{
    struct tensor t = {.name = slice_of(buffers[_i].name),
                       .shape = {buffers[_i].rank, buffers[_i].dims}};

    ck_assert_int_eq(fingerprint_is_benign(&t), buffers[_i].is_benign);
}
END_TEST

START_TEST(fingerprint__knows_the_wrappers_and_no_more)
{
    ck_assert(fingerprint_is_wrapper(slice_of("module")));
    ck_assert(fingerprint_is_wrapper(slice_of("_orig_mod")));
    ck_assert(!fingerprint_is_wrapper(slice_of("modules")));
    ck_assert(!fingerprint_is_wrapper(slice_of("")));
    ck_assert(!fingerprint_is_wrapper(slice_of("model")));
}
END_TEST

START_TEST(fingerprint__says_when_memory_runs_out)
{
    struct tensor tensors[] = {{.name = {"a.b", 3}}, {.name = {"a.c", 3}}};
    struct structure s = {tensors, 2};
    struct limits limits = limits_default();
    struct fingerprints f;
    size_t successes = 0;

    for (;; successes++) {
        enum status status;

        heap_fail_after(successes);
        status = fingerprint_structure(&s, &limits, &f, NULL);
        heap_heal();
        if (status == OK)
            break;
        ck_assert_int_eq(status, ERR_NO_MEMORY);
    }
    ck_assert_uint_gt(successes, 3);
    limits.arena_bytes = 64;
    ck_assert_int_eq(fingerprint_structure(&s, &limits, &f, NULL), ERR_LIMIT);
}
END_TEST

/* A thousand modules within each other: no recursion. */
START_TEST(fingerprint__takes_the_deepest_name_allowed)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(64 << 20);
    struct limits limits = limits_default();
    enum { COUNT = 512 };
    struct tensor tensors[COUNT];
    struct fingerprints f;

    for (size_t i = 0; i < COUNT; i++) {
        char *name = arena_alloc(&arena, limits.name_bytes, 1);

        memset(name, '.', limits.name_bytes);
        name[i] = 'a'; /* later is smaller: '.' sorts before 'a' */
        tensors[COUNT - 1 - i] = (struct tensor){.name = {name, limits.name_bytes}};
    }
    ck_assert_int_eq(fingerprint_structure(&(struct structure){tensors, COUNT}, &limits, &f, NULL),
                     OK);
}
END_TEST

SUITE(fingerprint)
{
    return suite_with("fingerprint", TEST(fingerprint__equals_the_vectors),
                      LOOP(fingerprint__agree_where_they_should, relations),
                      LOOP(fingerprint__tells_benign_buffers_from_weights, buffers),
                      TEST(fingerprint__knows_the_wrappers_and_no_more),
                      TEST(fingerprint__says_when_memory_runs_out),
                      TEST(fingerprint__takes_the_deepest_name_allowed));
}
