/*
 * The program of a torch.export archive, an ExportedProgram as JSON (torch/_export/serde/schema.py):
 *
 *     {"graph_module": {"graph": {"nodes": [{"target": "torch.ops.aten.add.Tensor", …}], …},
 *                       "signature": {"input_specs": [{"user_input": {"arg": {…, "name": "x"}}}, …],
 *                                     "output_specs": [{"user_output": {…}}]}},
 *      "opset_version": {"aten": 10}, "schema_version": {"major": 8, "minor": 20},
 *      "torch_version": "2.13.0", "guards_code": []}
 *
 * It is data, but not inert: loading it evaluates its symbolic expressions as Python (sympy.sympify),
 * and running it calls whatever its nodes name below torch, _operator and math. So every expression
 * and every target is held against what PyTorch's own writer gives.
 */
#include "common/formats/torch_export_read.h"

#include "common/base/attr.h"
#include "common/base/json.h"

/* Prefixes of targets that are operators on tensors, or on sizes. */
static const char *const target_prefixes[] = {
    "torch.ops.aten.",
    "torch.ops.prims.",
    "torch.ops.prim.",
    "torch.ops.higher_order.",
    "torch.ops.quantized.",
    "torch.ops.quantized_decomposed.",
    "torch.ops._c10d_functional.",
    "torch.sym_",
    "torch._sym_",
    "math.",
    "_operator.",
};

/* Of Python's operator module, what makes other functions is not among the operators. */
static const char *const operator_makers[] = {"attrgetter", "itemgetter", "methodcaller", "call"};

/* PyTorch's operators that read or write files. */
static const char *const file_operators[] = {"save", "from_file"};

/* And those that are called as Python's own. */
static const char *const python_operators[] = {
    "__and__", "__or__",   "__xor__",     "__lshift__",  "__rshift__",  "__iand__",
    "__ior__", "__ixor__", "__ilshift__", "__irshift__", "__getitem__", "__contains__",
};

/* Functions in symbolic expressions, as sympy's srepr and str spell them (torch/utils/_sympy). */
static const char *const expression_functions[] = {
    "Abs",
    "Add",
    "And",
    "BitwiseFn_bitwise_and",
    "BooleanFalse",
    "BooleanTrue",
    "CeilDiv",
    "CeilToInt",
    "CleanDiv",
    "Eq",
    "Equality",
    "FloatPow",
    "FloatTrueDiv",
    "Float",
    "FloorDiv",
    "FloorToInt",
    "Ge",
    "GreaterThan",
    "Gt",
    "Identity",
    "IntTrueDiv",
    "Integer",
    "LShift",
    "Le",
    "LessThan",
    "Lt",
    "Max",
    "Min",
    "Mod",
    "ModularIndexing",
    "Mul",
    "Ne",
    "Not",
    "Or",
    "Piecewise",
    "Pow",
    "PowByNatural",
    "PythonMod",
    "RShift",
    "Rational",
    "RoundDecimal",
    "RoundToInt",
    "StrictGreaterThan",
    "StrictLessThan",
    "Symbol",
    "ToFloat",
    "TruncToFloat",
    "TruncToInt",
    "Unequality",
    "Where",
    "ceiling",
    "exp",
    "floor",
    "log",
    "sqrt",
};

/* A program on its way. */
struct program {
    struct torch_work *work;
    struct json j;
    struct export_program *ret;
};

static void
program_done(struct program *p)
{
    json_done(&p->j);
}

enum status
export_header_read(struct torch_archive *a, const struct zip_member *m,
                   struct zip_payload *ret_payload, struct err *err)
{
    size_t *left = &a->work->header_bytes_left;

    TRY(zip_payload_read(a->directory, m, *left, a->work->limits, ret_payload, err));
    *left -= ret_payload->cost_bytes < *left ? (size_t)ret_payload->cost_bytes : *left;
    return OK;
}

enum status
export_note_problem(struct torch_archive *a, const struct zip_member *m, const struct err *problem,
                    struct err *err)
{
    struct torch_work *w = a->work;

    if (problem->code == ERR_NO_MEMORY || problem->code == ERR_IO) {
        err_copy(err, problem);
        return problem->code;
    }
    safety_at_least(&w->judge, SAFETY_MALFORMED);
    return inspection_note(w->in, w->limits, FINDING_HEADER_MALFORMED, m->name, err,
                           "it is not what it should be, at byte %llu: %s",
                           (unsigned long long)problem->offset, problem->text);
}

enum status
export_names_add(struct export_names *names, struct torch_work *w, struct slice name,
                 struct err *err)
{
    if (names->count == EXPORT_NAMES_MAX || name.length > EXPORT_NAME_BYTES)
        return OK;
    for (size_t i = 0; i < names->count; i++) {
        if (slice_equal(names->at[i], name))
            return OK;
    }
    TRY(arena_copy(&w->in->arena, name, &names->at[names->count], err));
    names->count++;
    return OK;
}

/* ---- what is run ---- */

static bool
is_among(struct slice name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_is(name, names[i]))
            return true;
    }
    return false;
}

static bool
is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* __call__, __globals__: Python's own attributes, through which anything can be reached. */
static bool
is_python_name(struct slice name)
{
    return slice_starts(name, slice_of("__")) && slice_ends(name, slice_of("__"));
}

/* torch.ops.<namespace>.<operator>[.<overload>]: no attribute of Python's, no file. */
static bool
is_operator(struct slice rest)
{
    struct slice space = slice_cut(&rest, '.'), name = slice_cut(&rest, '.');

    if (slice_is(space, "aten") && is_among(name, file_operators, ARRAY_LENGTH(file_operators)))
        return false;
    if (is_python_name(name) && !is_among(name, python_operators, ARRAY_LENGTH(python_operators)))
        return false;
    return rest.at == NULL || (memchr(rest.at, '.', rest.length) == NULL && !is_python_name(rest));
}

static bool
is_plain_target(struct slice target)
{
    static const char operators[] = "torch.ops.", functions[] = "_operator.";
    struct slice rest = target;

    if (slice_starts(target, slice_of(operators)))
        return is_operator(slice_from(target, sizeof operators - 1));
    while (rest.at != NULL) {
        if (is_python_name(slice_cut(&rest, '.')))
            return false;
    }
    return !slice_starts(target, slice_of(functions)) ||
           !is_among(slice_from(target, sizeof functions - 1), operator_makers,
                     ARRAY_LENGTH(operator_makers));
}

/* Each piece between dots must be a plain name. */
static bool
is_known_target(struct slice target)
{
    for (size_t i = 0; i < target.length; i++) {
        if (!is_name_char(target.at[i]) && target.at[i] != '.')
            return false;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(target_prefixes); i++) {
        if (slice_starts(target, slice_of(target_prefixes[i])))
            return is_plain_target(target);
    }
    return false;
}

/* A text within an expression is a symbol's name. */
static bool
skip_text(struct slice text, size_t *at)
{
    char quote = text.at[*at];

    for ((*at)++; *at < text.length; (*at)++) {
        if (text.at[*at] == quote) {
            (*at)++;
            return true;
        }
        if (!is_name_char(text.at[*at]) && text.at[*at] != '.')
            return false;
    }
    return false;
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* An operator, or the point within a number. */
static bool
skip_operator(struct slice text, size_t *at)
{
    static const char operators[] = {' ', '+', '-', '*', '/', '%', '(', ')', ',',
                                     '<', '>', '=', '!', '&', '|', '~', '.'};
    char c = text.at[*at];

    if (memchr(operators, c, sizeof operators) == NULL)
        return false;
    if (c == '.' && (*at == 0 || !is_digit(text.at[*at - 1])))
        return false;
    (*at)++;
    return true;
}

/* A number, a symbol, or the name of a known function that is called. */
static bool
skip_name(struct slice text, size_t *at)
{
    size_t start = *at;
    struct slice name;
    char next;

    while (*at < text.length && is_name_char(text.at[*at]))
        (*at)++;
    name = slice_part(text, start, *at - start);
    while (*at < text.length && text.at[*at] == ' ')
        (*at)++;
    next = *at < text.length ? text.at[*at] : ' ';
    if (next == '(')
        return is_among(name, expression_functions, ARRAY_LENGTH(expression_functions));
    return next != '.' || is_digit(name.at[0]);
}

/* Numbers, symbols, arithmetic, comparisons, and calls of known functions: nothing that reaches an
 * attribute, an index or a function of Python's. */
static bool
is_known_expression(struct slice text)
{
    bool is_known = true;
    size_t at = 0;

    while (is_known && at < text.length) {
        if (text.at[at] == '\'' || text.at[at] == '"')
            is_known = skip_text(text, &at);
        else if (is_name_char(text.at[at]))
            is_known = skip_name(text, &at);
        else
            is_known = skip_operator(text, &at);
    }
    return is_known;
}

static enum status
check_text(struct program *p, bool is_target, struct slice text, struct err *err)
{
    struct slice shown = text;

    if (is_target ? is_known_target(text) : is_known_expression(text))
        return OK;
    if (shown.length > EXPORT_NAME_BYTES)
        shown.length = EXPORT_NAME_BYTES;
    return export_names_add(&p->ret->strangers, p->work, shown, err);
}

/* ---- the walk ---- */

/* One whole value. names, which may be NULL, gets what stands under "name". */
static enum status
scan(struct program *p, struct export_names *names, struct err *err)
{
    enum { OTHER, EXPRESSION, TARGET, NAME } key = OTHER;
    size_t depth = 0;
    struct json_token t;

    do {
        TRY(json_next(&p->j, &t, err));
        if (t.kind == JSON_OBJECT || t.kind == JSON_ARRAY)
            depth++;
        else if (t.kind == JSON_OBJECT_END || t.kind == JSON_ARRAY_END)
            depth--;
        else if (t.kind == JSON_STRING && (key == EXPRESSION || key == TARGET))
            TRY(check_text(p, key == TARGET, t.text, err));
        else if (t.kind == JSON_STRING && key == NAME && names != NULL)
            TRY(export_names_add(names, p->work, t.text, err));
        key = t.kind != JSON_KEY             ? OTHER
              : slice_is(t.text, "expr_str") ? EXPRESSION
              : slice_is(t.text, "target")   ? TARGET
              : slice_is(t.text, "name")     ? NAME
                                             : OTHER;
    } while (depth > 0);
    return OK;
}

/* [{"user_input": {…}}, {"parameter": {…}}, …] */
static enum status
read_specs(struct program *p, const char *wanted, struct export_names *names, struct err *err)
{
    struct slice key;
    bool is_end;

    TRY(json_array(&p->j, "a list of specifications", err));
    for (;;) {
        TRY(json_element(&p->j, &is_end, err));
        if (is_end)
            return OK;
        TRY(json_object(&p->j, "a specification", err));
        for (;;) {
            TRY(json_key(&p->j, &key, &is_end, err));
            if (is_end)
                break;
            TRY(scan(p, slice_is(key, wanted) ? names : NULL, err));
        }
    }
}

static enum status
read_signature(struct program *p, struct err *err)
{
    struct slice key;
    bool is_end;

    TRY(json_object(&p->j, "the signature", err));
    for (;;) {
        TRY(json_key(&p->j, &key, &is_end, err));
        if (is_end)
            return OK;
        if (slice_is(key, "input_specs"))
            TRY(read_specs(p, "user_input", &p->ret->inputs, err));
        else if (slice_is(key, "output_specs"))
            TRY(read_specs(p, "user_output", &p->ret->outputs, err));
        else
            TRY(scan(p, NULL, err));
    }
}

static enum status
read_graph_module(struct program *p, struct err *err)
{
    struct slice key;
    bool is_end;

    TRY(json_object(&p->j, "graph_module", err));
    for (;;) {
        TRY(json_key(&p->j, &key, &is_end, err));
        if (is_end)
            return OK;
        if (slice_is(key, "signature"))
            TRY(read_signature(p, err));
        else
            TRY(scan(p, NULL, err));
    }
}

static enum status
read_opsets(struct program *p, struct err *err)
{
    struct slice key, text;
    int64_t version;
    bool is_end;

    TRY(json_object(&p->j, "opset_version", err));
    for (;;) {
        TRY(json_key(&p->j, &key, &is_end, err));
        if (is_end)
            return OK;
        TRY(json_i64(&p->j, "an opset's version", &version, err));
        TRY(arena_printf(&p->work->scratch, &text, err, "%.*s %lld", SLICE_PRINT(key),
                         (long long)version));
        TRY(export_names_add(&p->ret->opsets, p->work, text, err));
    }
}

static enum status
read_schema_version(struct program *p, struct err *err)
{
    struct slice key;
    bool is_end;

    TRY(json_object(&p->j, "schema_version", err));
    p->ret->has_schema = true;
    for (;;) {
        TRY(json_key(&p->j, &key, &is_end, err));
        if (is_end)
            return OK;
        if (slice_is(key, "major"))
            TRY(json_u64(&p->j, "major", &p->ret->schema_major, err));
        else if (slice_is(key, "minor"))
            TRY(json_u64(&p->j, "minor", &p->ret->schema_minor, err));
        else
            TRY(json_skip(&p->j, NULL, err));
    }
}

static enum status
read_guards(struct program *p, struct err *err)
{
    struct json_token t;

    TRY(json_peek(&p->j, &t, err));
    if (t.kind != JSON_ARRAY)
        return scan(p, NULL, err);
    TRY(json_next(&p->j, &t, err));
    for (;;) {
        bool is_end;

        TRY(json_element(&p->j, &is_end, err));
        if (is_end)
            return OK;
        p->ret->has_guards = true;
        TRY(scan(p, NULL, err));
    }
}

static enum status
read_torch_version(struct program *p, struct err *err)
{
    struct slice text;

    TRY(json_string(&p->j, "torch_version", &text, err));
    if (text.length > EXPORT_NAME_BYTES)
        return OK;
    return arena_copy(&p->work->in->arena, text, &p->ret->torch_version, err);
}

static enum status
read_program(struct program *p, struct err *err)
{
    struct slice key;
    bool is_end;

    TRY(json_object(&p->j, "the program", err));
    for (;;) {
        TRY(json_key(&p->j, &key, &is_end, err));
        if (is_end)
            return json_finish(&p->j, err);
        if (slice_is(key, "graph_module"))
            TRY(read_graph_module(p, err));
        else if (slice_is(key, "opset_version"))
            TRY(read_opsets(p, err));
        else if (slice_is(key, "schema_version"))
            TRY(read_schema_version(p, err));
        else if (slice_is(key, "torch_version"))
            TRY(read_torch_version(p, err));
        else if (slice_is(key, "guards_code"))
            TRY(read_guards(p, err));
        else
            TRY(scan(p, NULL, err));
    }
}

enum status
export_program_read(struct torch_archive *a, const struct zip_member *m, struct export_program *ret,
                    struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    CLEANUP(program_done) struct program p = {.work = a->work, .ret = ret};
    struct limits limits = *a->work->limits;
    struct err problem = {0};

    limits.json_depth = JSON_DEPTH_MAX; /* graphs within graphs */
    if (export_header_read(a, m, &payload, &problem) != OK)
        return export_note_problem(a, m, &problem, err);
    json_open(&p.j, (struct slice){payload.bytes, payload.length}, &limits, &a->work->scratch);
    if (read_program(&p, &problem) != OK)
        return export_note_problem(a, m, &problem, err);
    return OK;
}
