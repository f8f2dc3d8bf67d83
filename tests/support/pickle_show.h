#pragma once
/*
 * For tests: a pickle's value as text, as Python's repr would write it. A global is its dotted name, a
 * call name(arguments), with what was done to the result behind it: name()[{items}], name()+[appended],
 * name()<-state. A persistent value is @id. Past a depth or a length it says "...".
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/formats/pickle.h"

enum { SHOW_DEPTH = 8, SHOW_ITEMS = 40 };

static void show(struct buf *b, struct pickle_value v, int depth);

static void
show_bytes(struct buf *b, struct pickle_value v)
{
    char quote = '\'';

    for (uint32_t i = 0; i < v.count; i++)
        if (v.is.bytes[i] == '\'')
            quote = '"';
    if (v.kind != PICKLE_STR)
        buf_char(b, 'b');
    buf_char(b, quote);
    for (uint32_t i = 0; i < v.count; i++) {
        unsigned char c = (unsigned char)v.is.bytes[i];

        if (c == '\\')
            buf_text(b, "\\\\");
        else if (c == '\n')
            buf_text(b, "\\n");
        else if (c < 0x20 || c == 0x7F || (c >= 0x80 && v.kind != PICKLE_STR))
            buf_printf(b, "\\x%02x", c);
        else
            buf_char(b, (char)c);
    }
    buf_char(b, quote);
}

static void
show_items(struct buf *b, const struct pickle_value *items, size_t count, int depth)
{
    for (size_t i = 0; i < count && i < SHOW_ITEMS; i++) {
        if (i > 0)
            buf_text(b, ", ");
        show(b, items[i], depth + 1);
    }
    if (count > SHOW_ITEMS)
        buf_printf(b, ", ... %zu", count);
}

static void
show_pairs(struct buf *b, const struct pickle_dict *d, int depth)
{
    buf_char(b, '{');
    for (size_t i = 0; i < d->count && i < SHOW_ITEMS; i++) {
        if (i > 0)
            buf_text(b, ", ");
        show(b, d->pairs[i].key, depth + 1);
        buf_text(b, ": ");
        show(b, d->pairs[i].value, depth + 1);
    }
    if (d->count > SHOW_ITEMS)
        buf_printf(b, ", ... %u", d->count);
    buf_char(b, '}');
}

static void
show_call(struct buf *b, const struct pickle_call *c, int depth)
{
    show(b, c->callable, depth + 1);
    if (c->args.kind != PICKLE_TUPLE)
        buf_char(b, '*');
    if (c->args.kind == PICKLE_TUPLE) {
        buf_char(b, '(');
        show_items(b, c->args.is.items, c->args.count, depth);
        buf_char(b, ')');
    } else
        show(b, c->args, depth + 1);
    if (c->extra == NULL)
        return;
    if (c->extra->kwargs.kind != PICKLE_NONE) {
        buf_text(b, "**");
        show(b, c->extra->kwargs, depth + 1);
    }
    if (c->extra->items.count > 0)
        show_pairs(b, &c->extra->items, depth);
    if (c->extra->appended.count > 0) {
        buf_text(b, "+[");
        show_items(b, c->extra->appended.items, c->extra->appended.count, depth);
        buf_char(b, ']');
    }
    for (size_t i = 0; i < c->extra->states.count; i++) {
        buf_text(b, "<-");
        show(b, c->extra->states.items[i], depth + 1);
    }
}

static void
show_dims(struct buf *b, const int64_t *dims, uint32_t rank)
{
    buf_char(b, '(');
    for (uint32_t i = 0; i < rank; i++)
        buf_printf(b, "%s%" PRId64, i > 0 ? ", " : "", dims[i]);
    buf_text(b, rank == 1 ? ",)" : ")");
}

/* As the call that it stands for. */
static void
show_tensor(struct buf *b, const struct pickle_tensor *t)
{
    buf_printf(
        b, "%.*s.%.*s(@('storage', %.*s.%.*s, '%.*s', '%.*s', %" PRId64 "%s), %" PRId64 ", ",
        SLICE_PRINT(t->kind->function->modern_module), SLICE_PRINT(t->kind->function->modern_name),
        SLICE_PRINT(t->kind->storage_class->modern_module),
        SLICE_PRINT(t->kind->storage_class->modern_name), (int)t->key_length, t->key,
        SLICE_PRINT(t->kind->location), t->elements, t->kind->has_view ? ", None" : "", t->first);
    show_dims(b, t->dims, t->rank);
    buf_text(b, ", ");
    show_dims(b, t->dims + t->rank, t->rank);
    buf_printf(b, ", %s, collections.OrderedDict())", t->requires_grad ? "True" : "False");
}

static void
show_float(struct buf *b, double real)
{
    char text[40];

    for (int digits = 1; digits < 18; digits++) {
        double back;

        (void)snprintf(text, sizeof text, "%.*g", digits, real);
        if (sscanf(text, "%lf", &back) == 1 && back == real)
            break;
    }
    buf_text(b, text);
    if (strpbrk(text, ".en") == NULL)
        buf_text(b, ".0");
}

static void
show_list(struct buf *b, struct pickle_value v, const char *open, const char *close, int depth)
{
    buf_text(b, open);
    show_items(b, v.is.list->items, v.is.list->count, depth);
    buf_text(b, close);
}

static void
show(struct buf *b, struct pickle_value v, int depth)
{
    if (depth > SHOW_DEPTH) {
        buf_text(b, "...");
        return;
    }
    switch ((enum pickle_kind)v.kind) {
    case PICKLE_NONE:
        buf_text(b, "None");
        break;
    case PICKLE_BOOL:
        buf_text(b, v.is.truth ? "True" : "False");
        break;
    case PICKLE_INT:
        buf_printf(b, "%" PRId64, v.is.integer);
        break;
    case PICKLE_BIGINT:
        buf_printf(b, "bigint:%u", v.count);
        break;
    case PICKLE_FLOAT:
        show_float(b, v.is.real);
        break;
    case PICKLE_BYTEARRAY:
        buf_text(b, "bytearray(");
        show_bytes(b, v);
        buf_char(b, ')');
        break;
    case PICKLE_STR:
    case PICKLE_BYTES:
        show_bytes(b, v);
        break;
    case PICKLE_TUPLE:
        buf_char(b, '(');
        show_items(b, v.is.items, v.count, depth);
        buf_text(b, v.count == 1 ? ",)" : ")");
        break;
    case PICKLE_LIST:
        show_list(b, v, "[", "]", depth);
        break;
    case PICKLE_SET:
        show_list(b, v, "{", "}", depth);
        break;
    case PICKLE_FROZENSET:
        show_list(b, v, "frozenset({", "})", depth);
        break;
    case PICKLE_DICT:
        show_pairs(b, v.is.dict, depth);
        break;
    case PICKLE_GLOBAL:
        buf_slice(b, v.is.global->modern_module);
        buf_char(b, '.');
        buf_slice(b, v.is.global->modern_name);
        break;
    case PICKLE_CALL:
        show_call(b, v.is.call, depth);
        break;
    case PICKLE_PERSISTENT:
        buf_char(b, '@');
        show(b, v.is.persistent->id, depth + 1);
        break;
    case PICKLE_EXTENSION:
        buf_printf(b, "ext:%" PRId64, v.is.integer);
        break;
    case PICKLE_TENSOR:
        show_tensor(b, v.is.tensor);
        break;
    case PICKLE_KIND_COUNT:
        break;
    }
}
