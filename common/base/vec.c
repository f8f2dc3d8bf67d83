#include "common/base/vec.h"

#include <string.h>

#include "common/base/mem.h"

enum { FIRST_ITEMS = 16 };

struct vec
vec_of(size_t size, size_t cap)
{
    return (struct vec){.size = size, .cap = cap};
}

void
vec_done(struct vec *v)
{
    if (v == NULL)
        return;
    mem_free(v->items);
    *v = vec_of(v->size, v->cap);
}

static enum status
grow(struct vec *v, struct err *err)
{
    size_t capacity = v->capacity == 0 ? FIRST_ITEMS : v->capacity * 2;
    void *items;

    if (capacity > v->cap)
        capacity = v->cap;
    items = mem_resize(v->items, capacity, v->size);
    FAIL_IF(items == NULL, err, NO_MEMORY, 0, "out of memory");
    v->items = items;
    v->capacity = capacity;
    return OK;
}

enum status
vec_add(struct vec *v, void *ret_item, const char *what, struct err *err)
{
    void *item;

    FAIL_IF(v->count >= v->cap, err, LIMIT, 0, "more than %zu %s", v->cap, what);
    if (v->count == v->capacity)
        TRY(grow(v, err));
    item = (char *)v->items + v->count * v->size;
    memset(item, 0, v->size);
    v->count++;
    memcpy(ret_item, &item, sizeof item);
    return OK;
}
