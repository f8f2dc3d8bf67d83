#include "common/formats/vouched_read.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/vec.h"
#include "common/formats/pickle_globals.h"
#include "common/formats/pickle_modern.h"

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice
trim(struct slice text)
{
    while (text.length > 0 && is_space(text.at[0]))
        text = slice_from(text, 1);
    while (text.length > 0 && is_space(text.at[text.length - 1]))
        text.length--;
    return text;
}

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           ((unsigned char)c & 0x80U) != 0;
}

/* Identifiers between dots, two at least. *ret_dot is the last one. */
static bool
is_dotted(struct slice name, size_t *ret_dot)
{
    bool was_letter = false, has_dot = false;

    for (size_t i = 0; i < name.length; i++) {
        if (name.at[i] == '.' ? !was_letter : !is_letter(name.at[i]))
            return false;
        was_letter = name.at[i] != '.';
        if (was_letter)
            continue;
        has_dot = true;
        *ret_dot = i;
    }
    return was_letter && has_dot;
}

static enum status
take_name(struct slice line, size_t number, const struct limits *limits, struct arena *arena,
          struct vec *names, struct err *err)
{
    struct pickle_global g = {0};
    struct pickle_listed listed;
    struct slice *added;
    size_t dot = 0;

    /* Findings cut their subjects at name_bytes: what is cut must equal nothing here. */
    FAIL_IF(!is_dotted(line, &dot) || line.length >= limits->name_bytes, err, BAD_REQUEST, 0,
            "line %zu: '%.*s' is not the exact dotted name of a global, such as my.module.Config",
            number, SLICE_PRINT(line));
    g.module = (struct slice){line.at, dot};
    g.name = slice_from(line, dot + 1);
    pickle_modern(g.module, g.name, &g.modern_module, &g.modern_name);
    listed = pickle_globals_find(&g);
    FAIL_IF(listed.listing == PICKLE_DANGEROUS, err, BAD_REQUEST, 0,
            "line %zu: nobody can vouch for %.*s: it %s", number, SLICE_PRINT(line), listed.what);
    FAIL_IF(listed.listing == PICKLE_LOADER, err, BAD_REQUEST, 0,
            "line %zu: nobody can vouch for %.*s: it is judged by what it loads, file by file",
            number, SLICE_PRINT(line));
    if (listed.listing == PICKLE_INERT)
        return OK; /* it is on no list, so that odd arguments of it are never excused */
    TRY(vec_add(names, &added, "names in the list of inert globals", err));
    return arena_printf(arena, added, err, "%.*s.%.*s", SLICE_PRINT(g.modern_module),
                        SLICE_PRINT(g.modern_name));
}

static int
by_name(const void *a, const void *b)
{
    const struct slice *left = a, *right = b;

    return slice_compare(*left, *right);
}

enum status
vouched_read(struct slice text, const struct limits *limits, struct arena *arena,
             struct vouched *ret_vouched, struct err *err)
{
    CLEANUP(vec_done) struct vec names = vec_of(sizeof(struct slice), VOUCHED_NAMES_MAX);
    struct slice *kept;

    *ret_vouched = (struct vouched){0};
    for (size_t number = 1; text.at != NULL && text.length > 0; number++) {
        struct slice line = slice_cut(&text, '\n');

        line = trim(slice_cut(&line, '#'));
        if (line.length > 0)
            TRY(take_name(line, number, limits, arena, &names, err));
    }
    kept = arena_alloc(arena, names.count, sizeof *kept);
    if (kept == NULL)
        return arena_fail(arena, err);
    if (names.count > 0) {
        qsort(names.items, names.count, sizeof *kept, by_name);
        memcpy(kept, names.items, names.count * sizeof *kept);
    }
    *ret_vouched = (struct vouched){.names = kept, .count = names.count};
    return OK;
}
