#include "common/formats/safety.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/formats/pickle_globals.h"
#include "common/formats/pickle_stream.h"
#include "common/formats/torch_bytes.h"
#include "common/formats/weights_only.h"

enum {
    REASON_BYTES_MAX = 512, /* as the record takes it */
};

/* Bytes that a pickle hands to a loader. */
struct nested {
    struct torch_bytes at;
    struct slice loader; /* its name, for the findings */
    size_t depth;
};

/* What is going on in safety_add. */
struct round {
    struct safety_judge *s;
    struct slice member;
    bool is_script;    /* TorchScript's unpickler runs it */
    struct vec nested; /* struct nested: found, and not judged yet from next on */
    size_t next;
    size_t depth; /* of the pickle that is judged */
    const struct pickle *pickle;
    struct pickle inner; /* that one, where it is a nested one */
    uint64_t base;       /* offsets in findings count from here */
};

void
safety_begin(struct safety_judge *s, struct inspection *in, const struct limits *limits,
             struct pickle_budget *budget)
{
    *s = (struct safety_judge){.in = in, .limits = limits, .budget = budget};
    s->needs = vec_of(sizeof(struct slice), limits->pickle_globals * 4);
    s->named = vec_of(sizeof(struct slice), limits->findings);
    s->nested_bytes_left = limits->pickle_bytes;
}

void
safety_done(struct safety_judge *s)
{
    vec_done(&s->needs);
    vec_done(&s->named);
}

static void
round_done(struct round *r)
{
    vec_done(&r->nested);
}

void
safety_at_least(struct safety_judge *s, enum safety level)
{
    if (s->level < level)
        s->level = level;
}

enum status
safety_refuse(struct safety_judge *s, struct err *err, const char *reason, ...)
{
    char text[512];
    va_list arguments;
    int length;

    s->has_main = true;
    if (s->refusal.length > 0)
        return OK;
    va_start(arguments, reason);
    length = vsnprintf(text, sizeof text, reason, arguments);
    va_end(arguments);
    FAIL_IF(length < 0, err, INTERNAL, 0, "a message that cannot be formatted");
    return arena_copy(&s->in->arena, slice_of(text), &s->refusal, err);
}

/* Whether the name has no finding yet; it is remembered. */
static enum status
is_first(struct safety_judge *s, struct slice name, bool *ret_is_first, struct err *err)
{
    struct slice *added;

    *ret_is_first = true;
    for (size_t i = 0; i < s->named.count; i++)
        if (slice_equal(VEC_AT(&s->named, struct slice, i), name)) {
            *ret_is_first = false;
            return OK;
        }
    if (s->named.count == s->named.cap)
        return OK;
    TRY(vec_add(&s->named, &added, "named globals", err));
    *added = name;
    return OK;
}

/* Where in the file an opcode stands, or, of a nested pickle, where in what was nested. */
static unsigned long long
told(const struct round *r, uint64_t offset)
{
    return pickle_stream_offset(r->pickle->stream, offset) - r->base;
}

static enum status
name_of(struct safety_judge *s, const struct pickle_global *g, struct slice *ret_name,
        struct err *err)
{
    return pickle_type((struct pickle_value){.kind = PICKLE_GLOBAL,
                                             .is.global = (struct pickle_global *)(uintptr_t)g},
                       &s->in->arena, ret_name, err);
}

static enum status
note_dangerous(struct round *r, const struct pickle_global *g, uint64_t offset, const char *what,
               struct err *err)
{
    struct slice name;
    bool first = false;

    safety_at_least(r->s, SAFETY_DANGEROUS);
    TRY(name_of(r->s, g, &name, err));
    TRY(is_first(r->s, name, &first, err));
    if (!first)
        return OK;
    return inspection_note(r->s->in, r->s->limits, FINDING_PICKLE_GLOBAL_DANGEROUS, name, err,
                           "%.*s, at byte %llu%s: it %s. Do not load this file: loading it may run "
                           "whatever its author wished.",
                           SLICE_PRINT(r->member), told(r, offset),
                           r->depth > 0 ? " of a nested pickle" : "", what);
}

static enum status
note_unlisted(struct round *r, struct slice name, uint64_t offset, const char *why, struct err *err)
{
    bool first = false;

    safety_at_least(r->s, SAFETY_UNLISTED);
    TRY(is_first(r->s, name, &first, err));
    if (!first)
        return OK;
    return inspection_note(r->s->in, r->s->limits, FINDING_PICKLE_GLOBAL_UNLISTED, name, err,
                           "%.*s, at byte %llu%s: %s. Read the code behind the name before you "
                           "load the file, or save tensors and plain values only.",
                           SLICE_PRINT(r->member), told(r, offset),
                           r->depth > 0 ? " of a nested pickle" : "", why);
}

/* A class of TorchScript's, made of the code in the same archive, which has a finding of its own. Python
 * has no such module; before PyTorch 1.3 two names stood for it. */
static bool
is_script_class(const struct pickle_global *g)
{
    return slice_is(g->module, "__torch__") || slice_starts(g->module, slice_of("__torch__.")) ||
           (slice_is(g->module, "__main__") &&
            (slice_is(g->name, "TensorID") || slice_is(g->name, "IntList")));
}

static enum status
judge_global(struct round *r, const struct pickle_global *g, struct err *err)
{
    struct pickle_listed listed = g->listed;
    struct slice name;

    if (listed.listing == PICKLE_DANGEROUS)
        return note_dangerous(r, g, g->offset, listed.what, err);
    if (g->is_changed)
        return note_dangerous(r, g, g->changed_at, "is changed by the pickle for the whole program",
                              err);
    if (listed.listing != PICKLE_UNLISTED || (r->is_script && is_script_class(g)))
        return OK;
    TRY(name_of(r->s, g, &name, err));
    return note_unlisted(r, name, g->offset,
                         "it is not among the globals that are known to be inert; loading the file "
                         "imports it, and may call it",
                         err);
}

static enum status
add_nested(struct round *r, const struct torch_bytes *at, struct slice loader, struct err *err)
{
    struct nested *added;

    TRY(vec_add(&r->nested, &added, "nested pickles", err));
    *added = (struct nested){.at = *at, .loader = loader, .depth = r->depth + 1};
    return OK;
}

/* What a call hands to a loader is judged, too; what cannot be seen is not inert. */
static enum status
look_into_loader(struct round *r, const struct pickle_call *c, const struct pickle_global *g,
                 struct err *err)
{
    struct pickle_items args = {0};
    struct torch_bytes nested = {0};
    struct slice name;
    bool ok = false;

    TRY(name_of(r->s, g, &name, err));
    if (pickle_list(c->args, &args) && args.count > 0)
        TRY(torch_bytes_find(r->pickle, args.at[0], &r->s->in->arena, &nested, &ok, err));
    if (!ok)
        return note_unlisted(r, name, c->offset, "it loads what cannot be seen from here", err);
    return add_nested(r, &nested, name, err);
}

/* A gadget's name that is a loader's: pickle.loads, torch.load, dill.loads … */
static bool
is_loader(const struct pickle_global *g)
{
    static const char *const names[] = {"load",  "loads",     "_loads",
                                        "_load", "Unpickler", "read_pickle"};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (slice_is(g->modern_name, names[i]))
            return true;
    return false;
}

static enum status
judge_call(struct round *r, struct pickle_call *c, struct err *err)
{
    struct pickle_value call = {.kind = PICKLE_CALL, .is.call = c};
    const struct pickle_global *g;
    struct pickle_listed listed;
    struct slice name;

    if (pickle_callable(call).kind != PICKLE_GLOBAL)
        return note_unlisted(r, slice_of("(a call's result)"), c->offset,
                             "it calls what another call returned", err);
    g = pickle_callable(call).is.global;
    listed = g->listed;
    if (listed.listing == PICKLE_LOADER ||
        (listed.listing == PICKLE_DANGEROUS && is_loader(g) && c->kind == PICKLE_REDUCE))
        return look_into_loader(r, c, g, err);
    if (listed.listing != PICKLE_INERT || pickle_globals_fit(listed.arguments, call))
        return OK;
    TRY(name_of(r->s, g, &name, err));
    return note_unlisted(r, name, c->offset,
                         "it is called with arguments that it is never saved with", err);
}

static const struct {
    unsigned odd;
    const char *text;
} oddities[] = {
    {PICKLE_ODD_PROTO, "PROTO not at the start, repeated, or of no known protocol"},
    {PICKLE_ODD_FRAME, "frames that loaders read differently"},
    {PICKLE_ODD_DUPLICATE, "a key set twice"},
    {PICKLE_ODD_EXTENSION, "an extension code"},
    {PICKLE_ODD_PERSID, "a persistent id in text"},
    {PICKLE_ODD_NUMBER, "a number in an unusual spelling"},
    {PICKLE_ODD_MEMO, "a memo index far off, or set twice"},
    {PICKLE_ODD_STACK, "values left over, or the result of a call thrown away"},
    {PICKLE_ODD_DOTTED, "a dotted name before protocol 4"},
    {PICKLE_ODD_TARGET, "items or state for what has none"},
    {PICKLE_ODD_ARGUMENTS, "arguments that are no tuple"},
    {PICKLE_ODD_TEXT, "half of a surrogate pair"},
};

static enum status
note_oddities(struct round *r, const struct pickle *p, struct err *err)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(1024);

    for (size_t i = 0; i < ARRAY_LENGTH(oddities); i++)
        if ((p->odd & oddities[i].odd) != 0) {
            buf_text(&text, text.length == 0 ? "" : "; ");
            buf_text(&text, oddities[i].text);
        }
    TRY(buf_check(&text, err));
    if (text.length == 0)
        return OK;
    return inspection_note(r->s->in, r->s->limits, FINDING_PICKLE_ODD, r->member, err,
                           "No pickler writes this, so the file was made by hand: %s.", text.bytes);
}

static enum status
note_problem(struct round *r, const struct pickle *p, struct err *err)
{
    const char *where = r->depth > 0 ? "a nested pickle" : "the pickle";

    if (p->problem.code == OK)
        return OK;
    safety_at_least(r->s, SAFETY_MALFORMED);
    if (p->problem.code == ERR_LIMIT)
        return inspection_note(r->s->in, r->s->limits, FINDING_PICKLE_LIMIT, r->member, err,
                               "A limit was reached in %s, at byte %llu: %s. What comes after was "
                               "not seen.",
                               where, told(r, p->problem.offset), p->problem.text);
    return inspection_note(r->s->in, r->s->limits, FINDING_PICKLE_MALFORMED, r->member, err,
                           "There is a defect in %s, at byte %llu: %s. What came before it would "
                           "have been run.",
                           where, told(r, p->problem.offset), p->problem.text);
}

static enum status
judge_pickle(struct round *r, const struct pickle *p, struct err *err)
{
    for (const struct pickle_global *g = p->globals; g != NULL; g = g->next)
        TRY(judge_global(r, g, err));
    for (struct pickle_call *c = p->calls; c != NULL; c = c->next)
        TRY(judge_call(r, c, err));
    TRY(note_problem(r, p, err));
    return note_oddities(r, p, err);
}

static enum status
note_unseen(struct round *r, const struct nested *n, enum finding_id id, const char *why,
            struct err *err)
{
    return inspection_note(r->s->in, r->s->limits, id, n->loader, err,
                           "%.*s holds bytes for this loader that were not looked into: %s.",
                           SLICE_PRINT(r->member), why);
}

/* One pickle of several; *ret_goes_on says whether another follows. */
static enum status
judge_nested_pickle(struct round *r, const struct nested *n, size_t i, uint64_t *offset,
                    bool *ret_goes_on, struct err *err)
{
    CLEANUP(pickle_stream_done) struct pickle_stream stream = {0};

    TRY(pickle_stream_read(&stream, n->at.source, *offset, n->at.range.offset + n->at.range.length,
                           r->s->nested_bytes_left, r->s->limits, err));
    r->s->nested_bytes_left -= stream.length;
    if (stream.is_over_limit)
        TRY(note_unseen(r, n, FINDING_PICKLE_LIMIT, "they are too large", err));
    TRY(pickle_stream_run(&stream, r->s->budget, &r->s->in->arena, &r->inner, err));
    r->pickle = &r->inner;
    TRY(judge_pickle(r, &r->inner, err));
    *offset = stream.end;
    *ret_goes_on = r->inner.has_stop && *offset < n->at.range.offset + n->at.range.length &&
                   (i > 0 || torch_bytes_may_be_magic(r->inner.root));
    if (!*ret_goes_on || i > 0 || torch_bytes_is_magic(r->inner.root))
        return OK;
    safety_at_least(r->s, SAFETY_MALFORMED);
    return inspection_note(r->s->in, r->s->limits, FINDING_PICKLE_ODD, n->loader, err,
                           "%.*s holds bytes for this loader that no writer begins like this: "
                           "loaders may go on behind the first pickle, scanners may not.",
                           SLICE_PRINT(r->member));
}

/* One pickle, or the five of the legacy format. */
static enum status
judge_nested(struct round *r, const struct nested *n, struct err *err)
{
    uint64_t offset = n->at.range.offset;
    bool goes_on = true;
    char head[4] = {0};

    if (n->depth > r->s->limits->pickle_nesting || r->s->nested_bytes_left == 0) {
        safety_at_least(r->s, SAFETY_MALFORMED);
        return note_unseen(r, n, FINDING_PICKLE_LIMIT, "they are nested too deep, or too large",
                           err);
    }
    if (n->at.range.length >= sizeof head)
        TRY(source_read(n->at.source, offset, head, sizeof head, err));
    if (memcmp(head, "PK\x03\x04", sizeof head) == 0) {
        safety_at_least(r->s, SAFETY_UNLISTED);
        return note_unseen(r, n, FINDING_PICKLE_NESTED, "they are a zip archive", err);
    }
    r->depth = n->depth;
    r->base = offset;
    for (size_t i = 0; i < TORCH_LEGACY_PICKLES && goes_on; i++)
        TRY(judge_nested_pickle(r, n, i, &offset, &goes_on, err));
    return OK;
}

static enum status
note_trailing(struct round *r, const struct pickle *p, struct err *err)
{
    if (!p->has_stop || p->end == p->bytes.length)
        return OK;
    return inspection_note(r->s->in, r->s->limits, FINDING_PICKLE_TRAILING, r->member, err,
                           "%llu bytes follow the pickle's end; no loader reads them.",
                           (unsigned long long)(p->bytes.length - p->end));
}

static enum status
judge_weights_only(struct safety_judge *s, const struct pickle *p, bool is_legacy, struct err *err)
{
    struct slice reason;

    s->has_main = true;
    TRY(weights_only_judge(p, is_legacy, &s->in->arena, &s->needs, &reason, err));
    if (s->refusal.length == 0)
        s->refusal = reason;
    return OK;
}

enum status
safety_add(struct safety_judge *s, const struct pickle *p, struct slice member,
           enum safety_role role, struct err *err)
{
    CLEANUP(round_done)
    struct round r = {.s = s, .member = member, .is_script = role == SAFETY_SCRIPT, .pickle = p};

    r.nested = vec_of(sizeof(struct nested), s->limits->pickle_globals);
    TRY(judge_pickle(&r, p, err));
    TRY(note_trailing(&r, p, err));
    for (; r.next < r.nested.count; r.next++) {
        struct nested n = VEC_AT(&r.nested, struct nested, r.next);

        TRY(judge_nested(&r, &n, err));
    }
    if (role == SAFETY_EXTRA || role == SAFETY_SCRIPT)
        return OK;
    return judge_weights_only(s, p, role == SAFETY_LEGACY, err);
}

static int
compare_names(const void *a, const void *b)
{
    const struct slice *left = a, *right = b;

    return slice_compare(*left, *right);
}

/* A reason may quote a name of any length: cut it at the end of a character. */
static struct slice
shorten(struct slice text)
{
    if (text.length <= REASON_BYTES_MAX)
        return text;
    text.length = REASON_BYTES_MAX;
    while (text.length > 0 && ((unsigned char)text.at[text.length] & 0xc0) == 0x80)
        text.length--;
    return text;
}

enum status
safety_end(struct safety_judge *s, struct err *err)
{
    struct weights_only *w = &s->in->weights_only;
    struct slice *needs, *given = s->needs.items;
    size_t count = 0;

    if (s->in->safety < s->level)
        s->in->safety = s->level;
    needs = arena_alloc(&s->in->arena, s->needs.count, sizeof *needs);
    if (needs == NULL)
        return arena_fail(&s->in->arena, err);
    if (s->needs.count > 0)
        qsort(given, s->needs.count, sizeof *given, compare_names);
    for (size_t i = 0; i < s->needs.count; i++) {
        if (given[i].length > s->limits->name_bytes)
            TRY(safety_refuse(s, err, "a global has a name of %zu bytes", given[i].length));
        else if (i == 0 || !slice_equal(given[i - 1], given[i]))
            needs[count++] = given[i];
    }
    *w = (struct weights_only){
        .applies = s->has_main,
        .loads = s->has_main && count == 0 && s->refusal.length == 0,
        .needs = needs,
        .need_count = count,
        .reason = shorten(s->refusal),
    };
    return OK;
}
