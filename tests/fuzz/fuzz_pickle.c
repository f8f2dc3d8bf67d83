/*
 * Any bytes as a pickle: the machine runs it, every value that it kept is asked every question, and it
 * is judged as a checkpoint's. Limits are small, so that they are met.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/formats/safety.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 2000, ARENA_BYTES = 1 << 22 };

static struct limits
small_limits(void)
{
    struct limits limits = limits_default();

    limits.arena_bytes = ARENA_BYTES;
    limits.pickle_bytes = 1 << 20;
    limits.pickle_nodes = 20000;
    limits.pickle_memo = 2000;
    limits.pickle_memo_far = 16;
    limits.pickle_globals = 200;
    limits.findings = 50;
    return limits;
}

static void
must(bool holds)
{
    if (!holds)
        abort();
}

/* A value's bytes are there, each of them. */
static void
touch(struct slice s, uint64_t *sum)
{
    for (size_t i = 0; i < s.length; i++)
        *sum += (uint8_t)s.at[i];
}

static void
ask(struct pickle_value v, struct arena *arena, uint64_t *sum)
{
    struct slice s;
    struct pickle_pairs pairs = {0};
    int64_t i;
    uint64_t u;
    double d;
    bool is_mapping = false, b;

    must(v.kind < PICKLE_KIND_COUNT);
    if (pickle_text(v, &s) || pickle_bytes(v, &s))
        touch(s, sum);
    if (pickle_as_int(v, &i) || pickle_as_u64(v, &u) || pickle_as_float(v, &d) ||
        pickle_as_bool(v, &b))
        *sum += 1;
    if (pickle_type(v, arena, &s, NULL) == OK)
        touch(s, sum);
    if (pickle_pairs(v, arena, &is_mapping, &pairs, NULL) == OK)
        must(is_mapping == pickle_is_mapping(v));
    for (size_t k = 0; k < pairs.count && k < 4; k++)
        if (pickle_text(pairs.at[k].key, &s) && pairs.at[k].key.kind == PICKLE_STR)
            must(pickle_get_slice(v, s) != NULL);
    *sum += pickle_argument(v, 1).kind + pickle_persistent_id(v).kind;
    *sum += pickle_state(v) != NULL;
    *sum += pickle_attribute(v, "a") != NULL;
}

/* Walk the values breadth first, for as long as the steps last: cycles are legal. */
static void
walk(const struct pickle *p, struct arena *arena, uint64_t *sum)
{
    struct pickle_value queue[STEPS_MAX];
    size_t count = 0;

    queue[count++] = p->root;
    for (const struct pickle_call *c = p->calls; c != NULL && count < STEPS_MAX / 4; c = c->next)
        queue[count++] = (struct pickle_value){.kind = PICKLE_CALL,
                                               .is.call = (struct pickle_call *)(uintptr_t)c};
    for (size_t at = 0; at < count; at++) {
        struct pickle_items items = {0};
        struct pickle_pairs pairs = {0};
        bool is_mapping;

        ask(queue[at], arena, sum);
        (void)pickle_list(queue[at], &items);
        for (size_t i = 0; i < items.count && count < STEPS_MAX; i++)
            queue[count++] = items.at[i];
        if (pickle_pairs(queue[at], arena, &is_mapping, &pairs, NULL) != OK)
            continue;
        for (size_t i = 0; i < pairs.count && count + 1 < STEPS_MAX; i++) {
            queue[count++] = pairs.at[i].key;
            queue[count++] = pairs.at[i].value;
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    CLEANUP(safety_done) struct safety_judge s = {0};
    struct limits limits = small_limits();
    struct pickle_budget budget = pickle_budget(&limits);
    struct slice bytes = {.at = (const char *)data, .length = size};
    struct pickle p;
    struct err err = {0};
    uint64_t sum = 0;

    in.arena = arena_with_cap(limits.arena_bytes);
    safety_begin(&s, &in, &limits, &budget);
    must(pickle_run(bytes, &budget, &in.arena, &p, &err) == OK);
    must(p.end <= size);
    must(p.is_complete == (p.has_stop && p.problem.code == OK));
    if (p.has_stop)
        walk(&p, &in.arena, &sum);
    if (safety_add(&s, &p, slice_of("data.pkl"), SAFETY_MAIN, &err) == OK &&
        safety_end(&s, &err) == OK) {
        must(p.is_complete || in.safety >= SAFETY_MALFORMED);
        must(in.safety != SAFETY_CLEAN || p.call_count + p.global_count == 0 || p.globals != NULL);
    } else
        must(err.code == ERR_LIMIT);
    return sum == UINT64_MAX;
}
