/*
 * What all parts of the manifest's parser need: the tokenizer's answers held against what a manifest
 * says at that place, and the message where they differ.
 */
#include <stdarg.h>
#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/compat/manifest_form.h"

enum {
    SHOWN_BYTES = 80, /* of a name in a message */
};

/* "modules", "bn1", "version" */
static void
print_place(struct buf *out, const struct manifest_place *place)
{
    if (place->section != NULL)
        buf_printf(out, "\"%s\"", place->section);
    if (place->has_key) {
        size_t shown = place->key.length < SHOWN_BYTES ? place->key.length : SHOWN_BYTES;

        buf_text(out, out->length > 0 ? ", \"" : "\"");
        buf_add(out, place->key.at, shown);
        buf_text(out, shown < place->key.length ? "…\"" : "\"");
    }
    if (place->member != NULL)
        buf_printf(out, "%s\"%s\"", out->length > 0 ? ", " : "", place->member);
    if (out->length == 0)
        buf_text(out, "the manifest");
}

enum status
manifest_wrong(const struct manifest_place *place, uint64_t offset, struct err *err,
               const char *format, ...)
{
    CLEANUP(buf_done) struct buf where = buf_with_cap(512);
    char what[256];
    va_list arguments;

    print_place(&where, place);
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    FAIL(err, BAD_MANIFEST, offset, "%.*s: %s", SLICE_PRINT(buf_slice_of(&where)), what);
}

enum status
manifest_want(struct json *j, enum json_kind kind, const struct manifest_place *place,
              const char *expected, struct json_token *ret_token, struct err *err)
{
    TRY(json_next(j, ret_token, err));
    if (ret_token->kind != kind)
        return manifest_wrong(place, ret_token->offset, err, "expected %s, found %s", expected,
                              json_kind_name(ret_token->kind));
    return OK;
}

enum status
manifest_flag_read(struct json *j, const struct manifest_place *place, bool *ret_flag,
                   struct err *err)
{
    struct json_token t;

    TRY(json_next(j, &t, err));
    if (t.kind != JSON_TRUE && t.kind != JSON_FALSE)
        return manifest_wrong(place, t.offset, err, "expected true or false, found %s",
                              json_kind_name(t.kind));
    *ret_flag = t.kind == JSON_TRUE;
    return OK;
}

enum status
manifest_keep(const struct vec *items, struct arena *arena, void *ret_items, size_t *ret_count,
              struct err *err)
{
    void *list = arena_alloc(arena, items->count, items->size);

    if (list == NULL)
        return arena_fail(arena, err);
    if (items->count > 0)
        memcpy(list, items->items, items->count * items->size);
    memcpy(ret_items, &list, sizeof list);
    *ret_count = items->count;
    return OK;
}

enum status
manifest_names_read(struct json *j, struct arena *arena, const struct manifest_place *place,
                    struct name_group *ret_names, struct err *err)
{
    CLEANUP(vec_done) struct vec names = vec_of(sizeof(struct slice), j->tokens_left);
    static const char expected[] = "a list of strings";
    struct json_token t;
    bool is_end;

    TRY(manifest_want(j, JSON_ARRAY, place, expected, &t, err));
    for (;;) {
        struct slice *name;

        TRY(json_element(j, &is_end, err));
        if (is_end)
            return manifest_keep(&names, arena, &ret_names->names, &ret_names->count, err);
        TRY(manifest_want(j, JSON_STRING, place, expected, &t, err));
        TRY(vec_add(&names, &name, "names", err));
        *name = t.text;
    }
}
