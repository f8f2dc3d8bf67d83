#include "common/formats/torch_keys.h"

#include "common/formats/torch_bytes.h"

enum { READ_AHEAD = 4096 }; /* small storages lie close together */

/* What a view's key stands for. */
struct part {
    uint32_t row;
    uint64_t begin, end;
};

void
torch_keys_begin(struct torch_keys *k, const struct source *source, struct inspection *in,
                 const struct limits *limits)
{
    *k = (struct torch_keys){.in = in, .limits = limits};
    k->window = window_over(source, READ_AHEAD);
    k->rows = vec_of(sizeof(struct torch_key), limits->tensors);
    k->parts = vec_of(sizeof(struct part), limits->tensors);
}

void
torch_keys_done(struct torch_keys *k)
{
    window_done(&k->window);
    vec_done(&k->rows);
    vec_done(&k->parts);
    map_done(&k->index);
    map_done(&k->part_index);
}

enum status
torch_keys_add(struct torch_keys *k, struct slice key, enum dtype dtype, uint64_t elements,
               struct err *err)
{
    struct torch_key row = {.key = key, .dtype = dtype, .elements = elements}, *added;
    uint32_t present;

    if (!torch_storage_bytes(elements, dtype, &row.bytes))
        return OK; /* no tensor can have it */
    TRY(map_add(&k->index, key, (uint32_t)k->rows.count, &present, err));
    if (present != MAP_NONE)
        return OK;
    TRY(vec_add(&k->rows, &added, "storages", err));
    *added = row;
    return OK;
}

struct torch_key *
torch_keys_find(struct torch_keys *k, struct slice key)
{
    uint32_t i = map_get(&k->index, key);

    return i == MAP_NONE ? NULL : &VEC_AT(&k->rows, struct torch_key, i);
}

enum status
torch_keys_count(struct torch_keys *k, uint64_t offset, uint64_t *ret_elements, bool *ret_is_there,
                 struct err *err)
{
    uint64_t size = k->window.source->size_bytes, value = 0;
    const uint8_t *b;

    *ret_elements = 0;
    *ret_is_there = offset <= size && size - offset >= TORCH_LEGACY_COUNT_BYTES;
    if (!*ret_is_there)
        return OK;
    TRY(window_at(&k->window, offset, TORCH_LEGACY_COUNT_BYTES, &b, err));
    for (unsigned i = TORCH_LEGACY_COUNT_BYTES; i-- > 0;)
        value = value << 8 | b[i];
    *ret_elements = value > INT64_MAX ? UINT64_MAX : value;
    return OK;
}

enum status
torch_keys_place(struct torch_keys *k, struct torch_key *row, uint64_t offset, uint64_t limit,
                 struct err *err)
{
    uint64_t left = limit > offset ? limit - offset : 0;

    if (row->is_listed)
        TRY(inspection_note(k->in, k->limits, FINDING_TENSOR_ODD, row->key, err,
                            "the storage is in the file twice; the later one counts"));
    row->is_listed = true;
    row->offset = offset;
    if (row->bytes <= left) {
        row->held = row->bytes;
        return OK;
    }
    row->held = left;
    return inspection_note(k->in, k->limits, FINDING_STORAGE_SHORT, row->key, err,
                           "%llu of its %llu bytes are there: the file is cut off",
                           (unsigned long long)row->held, (unsigned long long)row->bytes);
}

/* A key of a part stands for what it stood for first. */
static enum status
name_part(struct torch_keys *k, uint32_t row, struct torch_storage *s, struct err *err)
{
    const struct part own = {row, s->begin, s->end};
    struct part *first;
    uint32_t present;

    TRY(map_add(&k->part_index, s->view_key, (uint32_t)k->parts.count, &present, err));
    if (present == MAP_NONE) {
        TRY(vec_add(&k->parts, &first, "views of storages", err));
        *first = own;
        return OK;
    }
    first = &VEC_AT(&k->parts, struct part, present);
    if (first->row == own.row && first->begin == own.begin && first->end == own.end)
        return OK;
    return inspection_note(k->in, k->limits, FINDING_TENSOR_ODD, s->view_key, err,
                           "two views of storages have this key: torch.load takes the first for "
                           "both");
}

enum status
torch_keys_locate(void *context, struct torch_storage *s, struct err *err)
{
    struct torch_keys *k = context;
    struct torch_key *row = torch_keys_find(k, s->key);

    if (row == NULL) {
        s->number = 0; /* shared with none */
        return inspection_note(k->in, k->limits, FINDING_STORAGE_MISSING, s->key, err,
                               "the file has no such storage");
    }
    if (s->bytes != row->bytes && !row->is_noted) {
        row->is_noted = true;
        TRY(inspection_note(k->in, k->limits, FINDING_TENSOR_ODD, row->key, err,
                            "two tensors give the storage different sizes: the first counts"));
    }
    s->dtype = row->dtype;
    s->elements = row->elements;
    s->bytes = row->bytes;
    s->end = s->end < s->bytes && s->view_key.at != NULL ? s->end : s->bytes;
    s->begin = s->begin < s->end ? s->begin : s->end;
    s->number = (uint64_t)(row - (struct torch_key *)k->rows.items) + 1;
    if (s->view_key.at != NULL)
        TRY(name_part(k, (uint32_t)(s->number - 1), s, err));
    s->has_bytes = row->is_listed;
    s->place = (struct place){
        .offset = row->offset, .stored_bytes = row->held, .storage_bytes = row->held};
    return OK;
}
