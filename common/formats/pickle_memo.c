#include "common/formats/pickle_memo.h"

#include "common/base/mem.h"

enum {
    NEAR_FREE = 1 << 16, /* an index below this is near, whatever the number of entries */
    NEAR_SLOTS_FIRST = 256,
    ABSENT = PICKLE_KIND_COUNT, /* as a kind: an empty slot */
};

struct pickle_far {
    uint32_t index;
    struct pickle_value value;
};

void
pickle_memo_done(struct pickle_memo *m)
{
    mem_free(m->near);
    vec_done(&m->far);
    *m = (struct pickle_memo){0};
}

/* The place of an index among the far ones: where it is, or would be. */
static size_t
far_place(const struct pickle_memo *m, uint32_t index)
{
    size_t low = 0, high = m->far.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (VEC_AT(&m->far, struct pickle_far, middle).index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct pickle_value *
far_get(const struct pickle_memo *m, uint32_t index)
{
    size_t place = far_place(m, index);

    if (place == m->far.count || VEC_AT(&m->far, struct pickle_far, place).index != index)
        return NULL;
    return &VEC_AT(&m->far, struct pickle_far, place).value;
}

static struct pickle_value *
find(const struct pickle_memo *m, uint32_t index)
{
    if (index < m->near_slots && m->near[index].kind != ABSENT)
        return &m->near[index];
    return m->far.count == 0 ? NULL : far_get(m, index);
}

const struct pickle_value *
pickle_memo_get(const struct pickle_memo *m, uint32_t index)
{
    return find(m, index);
}

static enum status
put_far(struct pickle_memo *m, const struct limits *limits, uint32_t index,
        struct pickle_value value, struct err *err)
{
    struct pickle_far *added, *items;
    size_t place = far_place(m, index);

    if (m->far.size == 0)
        m->far = vec_of(sizeof *added, limits->pickle_memo_far);
    TRY(vec_add(&m->far, &added, "far memo indexes", err));
    items = m->far.items;
    memmove(items + place + 1, items + place, (m->far.count - 1 - place) * sizeof *items);
    items[place] = (struct pickle_far){.index = index, .value = value};
    return OK;
}

static enum status
grow_near(struct pickle_memo *m, uint32_t index, struct err *err)
{
    size_t slots = m->near_slots == 0 ? NEAR_SLOTS_FIRST : m->near_slots;
    struct pickle_value *near;

    while (slots <= index)
        slots *= 2;
    near = mem_resize(m->near, slots, sizeof *near);
    FAIL_IF(near == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = m->near_slots; i < slots; i++)
        near[i] = (struct pickle_value){.kind = ABSENT};
    m->near = near;
    m->near_slots = slots;
    return OK;
}

enum status
pickle_memo_put(struct pickle_memo *m, struct pickle_budget *budget, uint32_t index,
                struct pickle_value value, bool is_live, bool *ret_odd, struct err *err)
{
    struct pickle_value *slot = find(m, index);
    bool is_near = index < NEAR_FREE || index / 2 <= m->count;
    bool is_next = index == m->dense;

    *ret_odd = slot != NULL || index < m->dense || !is_near;
    if (slot != NULL) {
        *slot = value;
        return OK;
    }
    if (index < m->dense)
        return OK; /* put before, and as dead as then */
    FAIL_IF(budget->memo_left == 0, err, LIMIT, 0, "more than %zu memo entries",
            budget->limits->pickle_memo);
    if (!is_near)
        TRY(put_far(m, budget->limits, index, value, err));
    else if (is_live || !is_next) {
        if (index >= m->near_slots)
            TRY(grow_near(m, index, err));
        m->near[index] = value;
    }
    m->dense += is_next;
    budget->memo_left--;
    m->count++;
    return OK;
}
