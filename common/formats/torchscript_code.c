#include "common/formats/torchscript_code.h"

#include "common/base/attr.h"

enum {
    KEY_BYTES_MAX = 1 << 17,
    KEY_NAME_MAX = 1 << 12, /* of a class, or of an attribute */
    OPERATORS_MAX = 32,     /* that are named to people */
    OPERATOR_BYTES = 80,    /* of one name */
};

/* What a name in the map is. */
enum { IS_MODULE = 1, IS_OTHER, IS_PARAMETER, IS_BUFFER };

/* Namespaces of operators that come with PyTorch itself and touch nothing but tensors. */
static const char *const known_spaces[] = {
    "aten",   "prim",           "prims",     "quantized",        "_quantized",
    "sparse", "mkldnn",         "prepacked", "xnnpack",          "onednn",
    "metal",  "vulkan_prepack", "profiler",  "mkldnn_prepacked", "quantized_decomposed",
};

/* Operators of PyTorch's that read or write files. */
static const char *const file_operators[] = {"save", "from_file"};

/* A code file on its way. */
struct script_file {
    struct torch_archive *a;
    struct script_code *code;
    struct slice member;     /* its name */
    struct slice module;     /* "__torch__.torch.nn.modules.linear", in the scratch arena */
    struct slice class_name; /* with its module; empty outside classes */
    bool is_odd;             /* said so already */
};

void
script_code_done(struct script_code *c)
{
    map_done(&c->names);
    buf_done(&c->key);
    vec_done(&c->operators);
}

/* ---- names ---- */

static enum status
add_name(struct script_file *f, struct slice name, uint32_t kind, struct err *err)
{
    return map_set(&f->code->names, name, kind, err);
}

static enum status
note_odd(struct script_file *f, const char *what, struct err *err)
{
    struct torch_work *w = f->a->work;

    if (f->is_odd)
        return OK;
    f->is_odd = true;
    safety_at_least(&w->judge, SAFETY_MALFORMED);
    return inspection_note(w->in, w->limits, FINDING_HEADER_ODD, f->member, err,
                           "%s is spelled as PyTorch never writes it: which tensors are parameters "
                           "cannot be told for sure",
                           what);
}

/* class Name(Base): */
static enum status
read_class(struct script_file *f, struct slice line, struct err *err)
{
    struct slice rest = slice_from(line, strlen("class ")), name;
    bool is_module = slice_ends(line, slice_of("(Module):"));
    size_t length = 0;

    f->code->classes++;
    f->code->modules += is_module;
    while (length < rest.length && rest.at[length] != '(' && rest.at[length] != ':')
        length++;
    name = slice_part(rest, 0, length);
    TRY(arena_printf(&f->a->work->scratch, &f->class_name, err, "%.*s.%.*s", SLICE_PRINT(f->module),
                     SLICE_PRINT(name)));
    return add_name(f, f->class_name, is_module ? IS_MODULE : IS_OTHER, err);
}

/* ["weight", "bias", ] */
static enum status
read_list(struct script_file *f, struct slice list, uint32_t kind, struct err *err)
{
    if (!slice_starts(list, slice_of("[")) || !slice_ends(list, slice_of("]")) ||
        f->class_name.length == 0)
        return note_odd(f, "a list of parameters or buffers", err);
    list = slice_part(list, 1, list.length - 2);
    while (list.length > 0) {
        struct slice name, key;

        if (list.at[0] != '"')
            return note_odd(f, "a list of parameters or buffers", err);
        list = slice_from(list, 1);
        name = slice_cut(&list, '"');
        if (list.at == NULL || !slice_starts(list, slice_of(",")) ||
            (name.length > 0 && memchr(name.at, '\\', name.length) != NULL))
            return note_odd(f, "a name in a list of parameters or buffers", err);
        list = slice_from(list, 1);
        if (slice_starts(list, slice_of(" ")))
            list = slice_from(list, 1);
        TRY(arena_printf(&f->a->work->scratch, &key, err, "%.*s\n%.*s", SLICE_PRINT(f->class_name),
                         SLICE_PRINT(name)));
        TRY(add_name(f, key, kind, err));
    }
    return OK;
}

/* ---- operators ---- */

static bool
is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static struct slice
cut_name(struct slice *rest)
{
    size_t length = 0;
    struct slice name;

    while (length < rest->length && is_name_char(rest->at[length]))
        length++;
    name = slice_part(*rest, 0, length);
    *rest = slice_from(*rest, length);
    return name;
}

static enum status
add_operator(struct script_file *f, struct slice space, struct slice name, struct err *err)
{
    struct slice whole, *added;

    if (f->code->operators.count == OPERATORS_MAX || space.length + name.length > OPERATOR_BYTES)
        return OK;
    TRY(arena_printf(&f->a->work->scratch, &whole, err, "%.*s::%.*s", SLICE_PRINT(space),
                     SLICE_PRINT(name)));
    for (size_t i = 0; i < f->code->operators.count; i++) {
        if (slice_equal(VEC_AT(&f->code->operators, struct slice, i), whole))
            return OK;
    }
    TRY(vec_add(&f->code->operators, &added, "operators", err));
    *added = whole;
    return OK;
}

static bool
is_among(struct slice name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_is(name, names[i]))
            return true;
    }
    return false;
}

/* torch.op( is aten's, ops.space.op( is any's. */
static enum status
read_operator(struct script_file *f, struct slice rest, bool is_torch, struct err *err)
{
    struct slice space = is_torch ? slice_of("aten") : cut_name(&rest);
    struct slice name;

    if (!is_torch) {
        if (space.length == 0 || !slice_starts(rest, slice_of(".")))
            return OK;
        rest = slice_from(rest, 1);
    }
    name = cut_name(&rest);
    if (!is_among(space, known_spaces, ARRAY_LENGTH(known_spaces)) ||
        (slice_is(space, "aten") && is_among(name, file_operators, ARRAY_LENGTH(file_operators))))
        return add_operator(f, space, name, err);
    return OK;
}

static enum status
read_operators(struct script_file *f, struct slice line, struct err *err)
{
    for (size_t i = 0; i < line.length;) {
        struct slice rest = slice_from(line, i);
        bool is_torch = slice_starts(rest, slice_of("torch."));
        bool is_ops = slice_starts(rest, slice_of("ops."));
        bool begins = i == 0 || (!is_name_char(line.at[i - 1]) && line.at[i - 1] != '.');

        if (begins && (is_torch || is_ops))
            TRY(read_operator(f, slice_from(rest, is_torch ? 6 : 4), is_torch, err));
        do
            i++;
        while (i < line.length && is_name_char(line.at[i]) && is_name_char(line.at[i - 1]));
    }
    return OK;
}

/* ---- files ---- */

static enum status
read_line(struct script_file *f, struct slice line, struct err *err)
{
    static const char parameters[] = "  __parameters__ = ", buffers[] = "  __buffers__ = ";

    if (slice_starts(line, slice_of("class ")))
        return read_class(f, line, err);
    if (line.length > 0 && line.at[0] != ' ')
        f->class_name = (struct slice){0};
    if (slice_starts(line, slice_of(parameters)))
        return read_list(f, slice_from(line, sizeof parameters - 1), IS_PARAMETER, err);
    if (slice_starts(line, slice_of(buffers))) {
        f->code->lists_buffers = true;
        return read_list(f, slice_from(line, sizeof buffers - 1), IS_BUFFER, err);
    }
    return read_operators(f, line, err);
}

/* code/__torch__/torch/nn/modules/linear.py is __torch__.torch.nn.modules.linear. */
static enum status
name_module(struct script_file *f, struct slice path, struct err *err)
{
    char *text = arena_alloc(&f->a->work->scratch, path.length + 1, 1);

    if (text == NULL)
        return arena_fail(&f->a->work->scratch, err);
    for (size_t i = 0; i < path.length; i++)
        text[i] = path.at[i] == '/' ? '.' : path.at[i];
    f->module = (struct slice){text, path.length};
    return OK;
}

static enum status
note_unread(struct script_file *f, const struct err *problem, struct err *err)
{
    struct torch_work *w = f->a->work;

    if (problem->code == ERR_NO_MEMORY || problem->code == ERR_IO) {
        err_copy(err, problem);
        return problem->code;
    }
    safety_at_least(&w->judge, SAFETY_MALFORMED);
    return inspection_note(w->in, w->limits, FINDING_UNREADABLE, f->member, err,
                           "its code could not be read: %s", problem->text);
}

static enum status
read_file(struct script_file *f, const struct zip_member *m, struct slice path, struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    struct err problem = {0};
    struct slice rest;

    if (zip_payload_read(f->a->directory, m, f->code->bytes_left, f->a->work->limits, &payload,
                         &problem) != OK)
        return note_unread(f, &problem, err);
    f->code->files++;
    f->code->bytes_left -=
        payload.cost_bytes < f->code->bytes_left ? (size_t)payload.cost_bytes : f->code->bytes_left;
    TRY(name_module(f, path, err));
    rest = (struct slice){payload.bytes, payload.length};
    while (rest.at != NULL)
        TRY(read_line(f, slice_cut(&rest, '\n'), err));
    return OK;
}

enum status
script_code_read(struct torch_archive *a, struct script_code *ret, struct err *err)
{
    const struct slice folder = slice_of("code/"), ending = slice_of(".py");

    *ret = (struct script_code){
        .key = buf_with_cap(KEY_BYTES_MAX),
        .operators = vec_of(sizeof(struct slice), OPERATORS_MAX),
        .bytes_left = a->work->limits->header_bytes,
    };
    for (size_t i = 0; i < a->directory->count; i++) {
        const struct zip_member *m = &a->directory->members[i];
        struct slice name = torch_archive_name(a, m);
        struct script_file f = {.a = a, .code = ret, .member = m->name};

        if (!slice_starts(name, folder) || !slice_ends(name, ending) ||
            name.length < folder.length + ending.length)
            continue;
        name = slice_part(name, folder.length, name.length - folder.length - ending.length);
        TRY(read_file(&f, m, name, err));
    }
    return OK;
}

/* ---- questions ---- */

static uint32_t
look_up(struct script_code *c, const struct pickle_global *g, const struct slice *attribute)
{
    /* Longer ones are no names of code, and each attribute would cost their length. */
    if (g->module.length + g->name.length > KEY_NAME_MAX ||
        (attribute != NULL && attribute->length > KEY_NAME_MAX))
        return MAP_NONE;
    buf_clear(&c->key);
    buf_slice(&c->key, g->module);
    buf_char(&c->key, '.');
    buf_slice(&c->key, g->name);
    if (attribute != NULL) {
        buf_char(&c->key, '\n');
        buf_slice(&c->key, *attribute);
    }
    return c->key.failed == OK ? map_get(&c->names, buf_slice_of(&c->key)) : MAP_NONE;
}

enum script_class
script_code_class(struct script_code *c, const struct pickle_global *g)
{
    switch (look_up(c, g, NULL)) {
    case IS_MODULE:
        return SCRIPT_MODULE;
    case IS_OTHER:
        return SCRIPT_OTHER;
    default:
        return SCRIPT_UNKNOWN;
    }
}

enum script_role
script_code_role(struct script_code *c, const struct pickle_global *g, struct slice attribute)
{
    switch (look_up(c, g, &attribute)) {
    case IS_PARAMETER:
        return SCRIPT_PARAMETER;
    case IS_BUFFER:
        return SCRIPT_BUFFER;
    default:
        return SCRIPT_PLAIN;
    }
}
