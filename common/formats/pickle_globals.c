#include "common/formats/pickle_globals.h"

#include "common/base/attr.h"
#include "common/formats/pickle_modern.h"

static const struct {
    const char *name, *arguments;
    enum pickle_listing listing;
} inert[] = {
#define INERT(name, arguments) {name, arguments, PICKLE_INERT},
#define LOADER(name)           {name, "y", PICKLE_LOADER},
#include "common/formats/pickle_inert_table.h"
#undef INERT
#undef LOADER
};

static const struct {
    const char *name, *what;
} gadgets[] = {
#define DANGER(name, what) {name, what},
#include "common/formats/pickle_danger_table.h"
#undef DANGER
};

static const struct pickle_torch torch[] = {
#define TORCH(name, kind, arguments, result) {name, PICKLE_TORCH_##kind, arguments, result},
#include "common/formats/pickle_torch_table.h"
#undef TORCH
};

/* Module and name as one text. Names longer than any that is known are cut: what begins as a gadget
 * still does, and nothing else is found for them. */
enum { JOINED_BYTES = 256 };

struct joined {
    char bytes[JOINED_BYTES];
    struct slice text;
};

static void
join(struct joined *j, struct slice module, struct slice name)
{
    struct slice parts[] = {module, {.at = ".", .length = 1}, name};
    size_t length = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
        size_t room = JOINED_BYTES - length;
        size_t taken = parts[i].length < room ? parts[i].length : room;

        memcpy(j->bytes + length, parts[i].at, taken);
        length += taken;
    }
    j->text = (struct slice){.at = j->bytes, .length = length};
}

/* The gadget that the text is, or lies below. */
static const char *
find_gadget(struct slice text)
{
    for (size_t i = 0; i < ARRAY_LENGTH(gadgets); i++) {
        struct slice name = slice_of(gadgets[i].name);

        if (slice_starts(text, name) && (text.length == name.length || text.at[name.length] == '.'))
            return gadgets[i].what;
    }
    return NULL;
}

/* Walking a dotted name, the loader may leave the module for another that it imported. */
static const char *
find_gadget_behind(struct slice name)
{
    while (name.at != NULL) {
        const char *what = find_gadget(name);

        if (what == NULL && slice_starts(name, slice_of("__")))
            what = "reaches into the program's objects";
        if (what != NULL)
            return what;
        (void)slice_cut(&name, '.');
    }
    return NULL;
}

static const struct pickle_torch *
find_torch(struct slice text)
{
    for (size_t i = 0; i < ARRAY_LENGTH(torch); i++)
        if (slice_is(text, torch[i].name))
            return &torch[i];
    return NULL;
}

const struct pickle_torch *
pickle_globals_torch(const struct pickle_global *g)
{
    struct slice module, name;
    struct joined j;

    pickle_modern_torch(g->module, g->name, &module, &name);
    join(&j, module, name);
    return find_torch(j.text);
}

struct pickle_listed
pickle_globals_find(const struct pickle_global *g)
{
    struct joined j;
    const struct pickle_torch *row;
    const char *what;

    join(&j, g->modern_module, g->modern_name);
    what = find_gadget(j.text);
    if (what == NULL && g->is_walked)
        what = find_gadget_behind(g->modern_name);
    if (what != NULL)
        return (struct pickle_listed){.listing = PICKLE_DANGEROUS, .what = what};
    row = find_torch(j.text);
    if (row != NULL)
        return (struct pickle_listed){.listing = PICKLE_INERT, .arguments = row->arguments};
    for (size_t i = 0; i < ARRAY_LENGTH(inert); i++)
        if (slice_is(j.text, inert[i].name))
            return (struct pickle_listed){.listing = inert[i].listing,
                                          .arguments = inert[i].arguments};
    return (struct pickle_listed){.listing = PICKLE_UNLISTED};
}

static bool
is_bytes(struct pickle_value v)
{
    struct slice bytes;

    return pickle_bytes(v, &bytes) || pickle_is_call(v, "_codecs", "encode") ||
           pickle_is_call(v, "builtins", "bytes");
}

static bool
is_latin1(struct pickle_value v)
{
    return pickle_is_text(v, "latin1") || pickle_is_text(v, "latin-1");
}

/* "f4", "<U12", "V8": any but those with O, for objects, in it. */
static bool
is_plain_dtype(struct pickle_value v)
{
    struct slice text;

    return pickle_text(v, &text) && (text.length == 0 || memchr(text.at, 'O', text.length) == NULL);
}

static bool
is_number(struct pickle_value v)
{
    return v.kind == PICKLE_INT || v.kind == PICKLE_BIGINT || v.kind == PICKLE_BOOL;
}

static bool
fits_one(char letter, struct pickle_value v)
{
    struct pickle_items items;

    switch (letter) {
    case '*':
        return true;
    case 'N':
        return v.kind == PICKLE_NONE;
    case 'i':
        return is_number(v);
    case 'n':
        return is_number(v) || v.kind == PICKLE_FLOAT;
    case 'b':
        return v.kind == PICKLE_BOOL;
    case 's':
        return v.kind == PICKLE_STR;
    case 'y':
        return is_bytes(v);
    case 't':
        return pickle_list(v, &items);
    case 'd':
        return pickle_is_mapping(v);
    case 'g':
        return v.kind == PICKLE_GLOBAL;
    case 'o':
        return v.kind == PICKLE_CALL || v.kind == PICKLE_TENSOR;
    case 'p':
        return v.kind == PICKLE_PERSISTENT ||
               pickle_is_call(v, "torch.storage", "_load_from_bytes");
    case 'E':
        return is_latin1(v);
    case 'F':
        return is_plain_dtype(v);
    case 'A':
        return pickle_is_global(v, "numpy", "ndarray");
    case 'V':
        return pickle_is_call(v, "numpy", "dtype");
    case 'O':
        return pickle_is_global(v, "builtins", "object");
    default:
        return false;
    }
}

/* One position's letters, a|b|c; *at goes behind them. */
static bool
fits_position(const char **at, struct pickle_value v)
{
    bool fits = fits_one(*(*at)++, v);

    while (**at == '|') {
        *at += 1;
        fits = fits_one(*(*at)++, v) || fits;
    }
    return fits;
}

bool
pickle_globals_fit(const char *arguments, struct pickle_value call)
{
    struct pickle_value args;
    struct pickle_items given = {0};
    size_t i = 0;
    bool may_end = false;

    if (arguments == NULL)
        return true;
    if (call.kind != PICKLE_CALL)
        return false;
    args = call.is.call->args;
    if (!pickle_list(args, &given))
        return false;
    while (*arguments != '\0') {
        const char *position = arguments;

        if (*arguments == '?') {
            may_end = true;
            arguments++;
            continue;
        }
        if (i == given.count) {
            (void)fits_position(&arguments, (struct pickle_value){0});
            return may_end || *arguments == '+';
        }
        if (!fits_position(&arguments, given.at[i]))
            return false;
        i++;
        while (*arguments == '+' && i < given.count) {
            const char *again = position;

            if (!fits_position(&again, given.at[i++]))
                return false;
        }
        if (*arguments == '+')
            arguments++;
    }
    return i == given.count;
}
