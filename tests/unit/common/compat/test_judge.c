/*
 * The judge against what PyTorch said: tests/cases/compat/pairs.json holds pairs of a model and a
 * checkpoint with load_state_dict's own answers, written by tests/interop/pairs.py. Further tests are
 * of what PyTorch does not tell: guesses, counts, order.
 */
#include "common/compat/judge.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "tests/support/compat_case.h"
#include "tests/support/heap.h"
#include "tests/support/unit.h"

static struct limits limits;
static struct arena arena;

static void
begin(void)
{
    limits = limits_default();
    arena = arena_with_cap(limits.arena_bytes);
}

static void
end(void)
{
    arena_done(&arena);
}

static struct slice
read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct buf text = buf_with_cap((size_t)64 << 20);
    char chunk[4096];
    size_t n;
    struct slice kept;

    ck_assert_ptr_nonnull(file);
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        buf_add(&text, chunk, n);
    fclose(file);
    ck_assert_int_eq(arena_copy(&arena, buf_slice_of(&text), &kept, NULL), OK);
    buf_done(&text);
    return kept;
}

static bool
has_hook(const struct manifest *m)
{
    for (size_t i = 0; i < m->module_count; i++)
        if (m->modules[i].custom_load || m->modules[i].post_hook)
            return true;
    return false;
}

static struct name_group
joined(const struct name_group *a, const struct name_group *b)
{
    struct slice *names = arena_alloc(&arena, a->count + b->count, sizeof *names);

    ck_assert_ptr_nonnull(names);
    for (size_t i = 0; i < a->count; i++)
        names[i] = a->names[i];
    for (size_t i = 0; i < b->count; i++)
        names[a->count + i] = b->names[i];
    return (struct name_group){names, a->count + b->count};
}

static void
check_lists(const struct compat_case *c, const struct compat_answer *ours)
{
    struct name_group our_errors = joined(&ours->shape_mismatch, &ours->errors);
    struct name_group errors = joined(&c->torch.shape_mismatch, &c->torch.errors);

    if (c->torch.has_lists) {
        ck_assert_msg(compat_case_same(&ours->missing, &c->torch.missing), "%.*s: missing",
                      SLICE_PRINT(c->name));
        ck_assert_msg(compat_case_same(&ours->unexpected, &c->torch.unexpected), "%.*s: unexpected",
                      SLICE_PRINT(c->name));
    }
    ck_assert_msg(compat_case_same(&ours->not_a_tensor, &c->torch.not_a_tensor),
                  "%.*s: not a tensor", SLICE_PRINT(c->name));
    ck_assert_msg(compat_case_same(&our_errors, &errors), "%.*s: errors", SLICE_PRINT(c->name));
}

static void
check_exact(const struct compat_case *c)
{
    struct judgement j;
    struct compat_answer ours;

    ck_assert_int_eq(compat_case_judge(c, &arena, &j, &ours, NULL), OK);
    if (j.is_unknown) {
        ck_assert_msg(has_hook(&c->manifest), "%.*s: unknown", SLICE_PRINT(c->name));
        ck_assert(!j.strict && !j.non_strict && j.warning_count > 0);
        return;
    }
    ck_assert_msg(ours.strict == c->torch.strict, "%.*s: strict is %d", SLICE_PRINT(c->name),
                  ours.strict);
    ck_assert_msg(ours.non_strict == c->torch.non_strict, "%.*s: non_strict is %d",
                  SLICE_PRINT(c->name), ours.non_strict);
    if (!c->torch.is_direct)
        check_lists(c, &ours);
}

static bool
is_guessed(const struct judgement *j)
{
    for (size_t i = 0; i < j->warning_count; i++)
        if (slice_starts(j->warnings[i], slice_of("Guessed")))
            return true;
    return false;
}

/* Without "modules": never strict where PyTorch raises, unless a warning names the guess. */
static void
check_guessed(struct compat_case c)
{
    struct judgement j;
    struct compat_answer ours;

    c.manifest.has_modules = false;
    c.manifest.module_count = 0;
    ck_assert_int_eq(compat_case_judge(&c, &arena, &j, &ours, NULL), OK);
    ck_assert_msg(!j.strict || c.torch.strict || is_guessed(&j), "%.*s: strict by silence",
                  SLICE_PRINT(c.name));
}

static size_t
each_case(struct slice text, void (*check)(const struct compat_case *c))
{
    CLEANUP(json_done) struct json j = {0};
    struct slice key;
    size_t count = 0;
    bool is_end;

    json_open(&j, text, &limits, &arena);
    ck_assert_int_eq(json_object(&j, "cases", NULL), OK);
    for (;;) {
        ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
        if (is_end)
            return count;
        if (!slice_is(key, "cases")) {
            ck_assert_int_eq(json_skip(&j, NULL, NULL), OK);
            continue;
        }
        ck_assert_int_eq(json_array(&j, "cases", NULL), OK);
        for (;;) {
            struct compat_case c;
            struct err err = {0};

            ck_assert_int_eq(json_element(&j, &is_end, NULL), OK);
            if (is_end)
                break;
            ck_assert_msg(compat_case_read(&j, &limits, &arena, &c, &err) == OK, "%s", err.text);
            check(&c);
            count++;
        }
    }
}

static void
check_both(const struct compat_case *c)
{
    check_exact(c);
    check_guessed(*c);
}

START_TEST(judge__says_what_pytorch_said)
{
    size_t count;

    begin();
    count = each_case(read_file(CASES_DIR "/compat/pairs.json"), check_both);
    ck_assert_uint_ge(count, 60);
    end();
}
END_TEST

/* One case from its JSON. */
static struct judgement
judged(const char *json)
{
    CLEANUP(json_done) struct json j = {0};
    struct compat_case c;
    struct judgement judgement;
    struct compat_answer ours;
    struct err err = {0};

    json_open(&j, slice_of(json), &limits, &arena);
    ck_assert_msg(compat_case_read(&j, &limits, &arena, &c, &err) == OK, "%s", err.text);
    ck_assert_int_eq(compat_case_judge(&c, &arena, &judgement, &ours, &err), OK);
    return judgement;
}

START_TEST(judge__lists_in_natural_order)
{
    struct judgement j;

    begin();
    j = judged("{\"loader\": \"torch\", \"manifest\": {\"l.10\": [1], \"l.9\": [1], \"l.2\": [2]},"
               " \"state\": {\"keys\": {\"x10\": {\"shape\": []}, \"x9\": {\"shape\": []}}}}");
    ck_assert_uint_eq(j.missing_count, 3);
    ck_assert(slice_is(j.missing[0], "l.2"));
    ck_assert(slice_is(j.missing[2], "l.10"));
    ck_assert(slice_is(j.unexpected[0], "x9"));
    end();
}
END_TEST

START_TEST(judge__counts_what_is_filled)
{
    struct judgement j;

    begin();
    j = judged("{\"loader\": \"torch\", \"manifest\": {\"a\": [2, 3], \"b\": [4], \"c\": null,"
               " \"d\": [null, 2]},"
               " \"state\": {\"keys\": {\"a\": {\"shape\": [2, 3]}, \"b\": {\"shape\": [5]},"
               " \"c\": {\"shape\": [7]}, \"d\": {\"shape\": [5, 2]}}}}");
    ck_assert_uint_eq(j.matched, 3);
    ck_assert_uint_eq(j.expected_elements, 6 + 4 + 7 + 10);
    ck_assert_uint_eq(j.filled_elements, 6 + 7 + 10);
    ck_assert_uint_eq(j.filled_by[0], 0);
    ck_assert_uint_eq(j.filled_by[1], FILLED_BY_NONE);
    ck_assert_uint_eq(j.shape_mismatch_count, 1);
    ck_assert(!j.non_strict);
    end();
}
END_TEST

START_TEST(judge__warns_of_casts_that_lose)
{
    struct judgement j;

    begin();
    j = judged("{\"loader\": \"torch\", \"manifest\": {\"tensors\": {"
               " \"a\": {\"shape\": [1], \"dtype\": \"float16\"},"
               " \"b\": {\"shape\": [1], \"dtype\": \"float32\"},"
               " \"c\": {\"shape\": [1], \"dtype\": \"int64\"},"
               " \"d\": {\"shape\": [1], \"dtype\": \"float64\"}}},"
               " \"state\": {\"keys\": {\"a\": {\"dtype\": \"float32\", \"shape\": [1]},"
               " \"b\": {\"dtype\": \"complex64\", \"shape\": [1]},"
               " \"c\": {\"dtype\": \"float32\", \"shape\": [1]},"
               " \"d\": {\"dtype\": \"float32\", \"shape\": [1]}}}}");
    ck_assert(j.strict);
    ck_assert_uint_eq(j.dtype_mismatch_count, 4);
    ck_assert_uint_eq(j.warning_count, 3);
    end();
}
END_TEST

START_TEST(judge__passes_over_what_is_optional)
{
    struct judgement j;

    begin();
    j = judged("{\"loader\": \"torch\", \"manifest\": {\"tensors\": {\"a\": [1], \"b.ids\": [4]},"
               " \"optional\": [\"*.ids\", \"*.mask\"]},"
               " \"state\": {\"keys\": {\"a\": {\"shape\": [1]}, \"x.mask\": {\"shape\": [9]}}}}");
    ck_assert(j.strict);
    end();
}
END_TEST

#define NORM \
    "\"bn.weight\": [2], \"bn.bias\": [2], \"bn.running_mean\": [2], \"bn.running_var\": [2]," \
    " \"bn.num_batches_tracked\": []"
#define NORM_KEYS \
    "\"bn.weight\": {\"shape\": [2]}, \"bn.bias\": {\"shape\": [2]}," \
    " \"bn.running_mean\": {\"shape\": [2]}, \"bn.running_var\": {\"shape\": [2]}"

START_TEST(judge__names_its_guesses)
{
    struct judgement j;

    begin();
    j = judged("{\"loader\": \"torch\", \"manifest\": {" NORM "},"
               " \"state\": {\"metadata\": null, \"keys\": {" NORM_KEYS "}}}");
    ck_assert(j.strict);
    ck_assert_uint_eq(j.matched, 4);
    ck_assert(is_guessed(&j));
    ck_assert_uint_eq(j.filled_elements, j.expected_elements);

    /* A file of version 2 that lacks it lacks it. */
    j = judged("{\"loader\": \"torch\", \"manifest\": {" NORM "},"
               " \"state\": {\"metadata\": {\"bn\": {\"version\": 2}}, \"keys\": {" NORM_KEYS
               "}}}");
    ck_assert(!j.strict && j.non_strict);
    ck_assert_uint_eq(j.missing_count, 1);
    ck_assert(!is_guessed(&j));
    end();
}
END_TEST

START_TEST(judge__knows_the_class_by_either_of_its_names)
{
    static const char *const types[] = {
        "torch.nn.BatchNorm2d",
        "torch.nn.modules.batchnorm.BatchNorm2d",
        "my.Norm\", \"base\": \"torch.nn.BatchNorm1d",
    };

    begin();
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        char text[1024];
        struct judgement j;

        (void)snprintf(text, sizeof text,
                       "{\"loader\": \"torch\", \"manifest\": {\"tensors\": {" NORM "},"
                       " \"modules\": {\"bn\": {\"type\": \"%s\", \"version\": 2}}},"
                       " \"state\": {\"metadata\": null, \"keys\": {" NORM_KEYS "}}}",
                       types[i]);
        j = judged(text);
        ck_assert(j.strict);
        ck_assert_uint_eq(j.warning_count, 0);
    }
    end();
}
END_TEST

START_TEST(judge__takes_frozen_norms_as_torchvision_does)
{
    struct judgement j;

    begin();
    j = judged("{\"loader\": \"torch\", \"manifest\": {\"tensors\": {\"bn.running_mean\": [2]},"
               " \"modules\": {\"bn\": {\"type\": \"torchvision.ops.misc.FrozenBatchNorm2d\"}}},"
               " \"state\": {\"keys\": {\"bn.running_mean\": {\"shape\": [2]},"
               " \"bn.num_batches_tracked\": {\"shape\": []}}}}");
    ck_assert(j.strict);
    end();
}
END_TEST

START_TEST(judge__cannot_tell_what_a_hook_does)
{
    struct judgement j;

    begin();
    j = judged(
        "{\"loader\": \"torch\", \"manifest\": {\"tensors\": {\"a.w\": [1], \"b.w\": [1]},"
        " \"modules\": {\"a\": {\"type\": \"my.A\", \"custom_load\": true}}},"
        " \"state\": {\"keys\": {\"a.gamma\": {\"shape\": [1]}, \"b.w\": {\"shape\": [1]}}}}");
    ck_assert(j.is_unknown && !j.strict && !j.non_strict);
    ck_assert_uint_eq(j.warning_count, 1);

    /* All that it decides over fits; what does not is elsewhere. */
    j = judged("{\"loader\": \"torch\", \"manifest\": {\"tensors\": {\"a.w\": [1], \"ab.w\": [1]},"
               " \"modules\": {\"a\": {\"type\": \"my.A\", \"custom_load\": true}}},"
               " \"state\": {\"keys\": {\"a.w\": {\"shape\": [1]}, \"ab.v\": {\"shape\": [1]}}}}");
    ck_assert(!j.is_unknown && !j.strict && j.non_strict);
    end();
}
END_TEST

START_TEST(judge__answers_an_empty_state)
{
    struct judgement j;

    begin();
    j = judged(
        "{\"loader\": \"lightning\", \"manifest\": {\"a\": [1]}, \"state\": {\"keys\": {}}}");
    ck_assert(!j.strict && j.non_strict);
    ck_assert_uint_eq(j.missing_count, 1);
    ck_assert_uint_eq(j.filled_elements, 0);
    end();
}
END_TEST

START_TEST(judge__says_when_memory_is_short)
{
    CLEANUP(json_done) struct json j = {0};
    struct compat_case c;
    struct judgement judgement;
    size_t refused = 0;

    begin();
    json_open(&j,
              slice_of("{\"loader\": \"torch\", \"manifest\": {" NORM "}, \"state\": {\"keys\": {"
                       "\"other\": {\"shape\": [2]}}}}"),
              &limits, &arena);
    ck_assert_int_eq(compat_case_read(&j, &limits, &arena, &c, NULL), OK);
    for (size_t cap = 0;; cap += 16) {
        struct arena small = arena_with_cap(cap);
        struct err err = {0};
        enum status status = judge(&c.manifest, &c.state, c.loader, &small, &judgement, &err);

        arena_done(&small);
        if (status == OK)
            break;
        ck_assert_int_eq(status, ERR_LIMIT);
        refused++;
    }
    ck_assert_uint_gt(refused, 10);
    end();
}
END_TEST

START_TEST(judge__survives_a_heap_that_gives_out)
{
    CLEANUP(json_done) struct json j = {0};
    struct compat_case c;
    size_t refused = 0;

    begin();
    json_open(&j,
              slice_of("{\"loader\": \"torch\", \"manifest\": {" NORM ", \"x\": [1]}, \"state\":"
                       " {\"keys\": {\"other\": {\"shape\": [2]}, \"x\": {\"shape\": [2]},"
                       " \"bn.bias\": {\"entry\": \"int\"}}}}"),
              &limits, &arena);
    ck_assert_int_eq(compat_case_read(&j, &limits, &arena, &c, NULL), OK);
    for (size_t successes = 0;; successes++) {
        struct arena small = arena_with_cap(1 << 20);
        struct judgement judgement;
        enum status status;

        heap_fail_after(successes);
        status = judge(&c.manifest, &c.state, c.loader, &small, &judgement, NULL);
        heap_heal();
        arena_done(&small);
        if (status == OK)
            break;
        ck_assert_int_eq(status, ERR_NO_MEMORY);
        refused++;
    }
    ck_assert_uint_gt(refused, 3);
    end();
}
END_TEST

SUITE(judge)
{
    return suite_with(
        "judge", TEST(judge__says_what_pytorch_said), TEST(judge__lists_in_natural_order),
        TEST(judge__counts_what_is_filled), TEST(judge__warns_of_casts_that_lose),
        TEST(judge__passes_over_what_is_optional), TEST(judge__names_its_guesses),
        TEST(judge__knows_the_class_by_either_of_its_names),
        TEST(judge__takes_frozen_norms_as_torchvision_does),
        TEST(judge__cannot_tell_what_a_hook_does), TEST(judge__answers_an_empty_state),
        TEST(judge__says_when_memory_is_short), TEST(judge__survives_a_heap_that_gives_out));
}
