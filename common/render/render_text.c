/*
 * A report for a person: the first line for grep, then what was found, in words. All that comes from
 * files goes through utf8_clean.
 */
#include "common/base/attr.h"
#include "common/base/utf8.h"
#include "common/render/render.h"

enum {
    SHOWN_MAX = 20,   /* entries of a list; JSON has the rest */
    NAME_COLUMN = 44, /* of keys in front of their shapes, at most */
};

struct page {
    const struct report *r;
    struct buf *out;
    bool has_colour;
};

enum colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_RED, COLOUR_DIM };

static void
paint(struct page *p, enum colour colour)
{
    static const char *const codes[] = {
        [COLOUR_NONE] = "\033[0m",    [COLOUR_BOLD] = "\033[1m", [COLOUR_GREEN] = "\033[32m",
        [COLOUR_YELLOW] = "\033[33m", [COLOUR_RED] = "\033[31m", [COLOUR_DIM] = "\033[2m",
    };

    if (p->has_colour)
        buf_text(p->out, codes[colour]);
}

static void
painted(struct page *p, enum colour colour, const char *text)
{
    paint(p, colour);
    buf_text(p->out, text);
    paint(p, COLOUR_NONE);
}

static void
heading(struct page *p, const char *text)
{
    buf_char(p->out, '\n');
    painted(p, COLOUR_BOLD, text);
    buf_char(p->out, '\n');
}

/* The columns a cleaned text takes: characters, near enough for names. */
static size_t
width_of(const char *bytes, size_t length)
{
    size_t width = 0;

    for (size_t i = 0; i < length; i++)
        width += ((unsigned char)bytes[i] & 0xC0U) != 0x80;
    return width;
}

/* A text, cleaned, and spaces up to a column. */
static void
cell(struct page *p, struct slice text, size_t column)
{
    size_t start = p->out->length, width;

    utf8_clean(p->out, text);
    if (p->out->failed != OK)
        return;
    width = width_of(p->out->bytes + start, p->out->length - start);
    for (; width < column; width++)
        buf_char(p->out, ' ');
}

static enum colour
colour_of(const struct report *r)
{
    if (r->verdict <= VERDICT_STRICT_AFTER_REMAP)
        return COLOUR_GREEN;
    return r->verdict <= VERDICT_PARTIAL ? COLOUR_YELLOW : COLOUR_RED;
}

static void
write_checkpoint(struct page *p)
{
    const struct report_subject *c = &p->r->options.checkpoint;

    if (c->path.length > 0) {
        utf8_clean(p->out, c->path);
        return;
    }
    utf8_clean(p->out, c->model.length > 0 ? c->model : slice_of("checkpoint"));
    if (c->version.length > 0) {
        buf_char(p->out, '@');
        utf8_clean(p->out, c->version);
    }
}

static void
write_manifest_name(struct page *p)
{
    struct slice name = p->r->options.manifest_name;

    if (name.length == 0)
        name = p->r->manifest->name;
    utf8_clean(p->out, name.length > 0 ? name : slice_of("manifest"));
}

/* ckptd: FAIL partial vision/resnet50@epoch-90 vs torchvision/resnet50 (need strict): … */
static void
write_first_line(struct page *p)
{
    const struct report *r = p->r;
    enum verdict required = r->options.has_required ? r->options.required : VERDICT_PARTIAL;
    bool is_met = verdict_meets(r->verdict, required);

    buf_text(p->out, "ckptd: ");
    painted(p, is_met ? COLOUR_GREEN : COLOUR_RED, is_met ? "OK" : "FAIL");
    buf_char(p->out, ' ');
    painted(p, colour_of(r), verdict_name(r->verdict));
    buf_char(p->out, ' ');
    write_checkpoint(p);
    buf_text(p->out, " vs ");
    write_manifest_name(p);
    if (r->options.has_required)
        buf_printf(p->out, " (need %s)", verdict_name(required));
    buf_text(p->out, ": ");
    utf8_clean(p->out, r->summary);
    buf_char(p->out, '\n');
}

static void
write_side(struct page *p, const char *title, const struct report_side *side)
{
    const struct judgement *j = &side->judgement;

    buf_printf(p->out, "  %-12s", title);
    painted(p, j->strict ? COLOUR_GREEN : COLOUR_YELLOW,
            j->is_unknown   ? "a custom load hook decides"
            : j->strict     ? "loads strictly"
            : j->non_strict ? "loads with strict=False"
                            : "does not load");
    buf_printf(p->out, "; %zu of %zu tensors, %.1f %% of the elements\n", j->matched,
               p->r->manifest->count, 100.0 * side->coverage.elements);
    if (j->missing_count + j->unexpected_count + j->shape_mismatch_count + j->dtype_mismatch_count +
            j->not_a_tensor_count ==
        0)
        return;
    buf_printf(p->out, "  %-12s%zu missing, %zu unexpected, %zu of another shape", "",
               j->missing_count, j->unexpected_count, j->shape_mismatch_count);
    if (j->dtype_mismatch_count > 0)
        buf_printf(p->out, ", %zu cast", j->dtype_mismatch_count);
    if (j->not_a_tensor_count > 0)
        buf_printf(p->out, ", %zu no tensors", j->not_a_tensor_count);
    buf_char(p->out, '\n');
}

static void
write_remap(struct page *p)
{
    CLEANUP(buf_done) struct buf lines = buf_with_cap(p->out->cap_bytes);
    struct slice rest, line;

    if (!p->r->has_remap)
        return;
    heading(p, "Remap");
    remap_write_lines(&lines, &p->r->remap, true);
    rest = buf_slice_of(&lines);
    while (rest.at != NULL && rest.length > 0) {
        line = slice_cut(&rest, '\n');
        buf_text(p->out, "  ");
        utf8_clean(p->out, line);
        buf_char(p->out, '\n');
    }
}

static void
write_rest(struct page *p, size_t count)
{
    if (count <= SHOWN_MAX)
        return;
    paint(p, COLOUR_DIM);
    buf_printf(p->out, "  … and %zu more", count - SHOWN_MAX);
    paint(p, COLOUR_NONE);
    buf_char(p->out, '\n');
}

static void
write_list(struct page *p, const char *title, const struct slice *texts, size_t count)
{
    if (count == 0)
        return;
    heading(p, title);
    for (size_t i = 0; i < count && i < SHOWN_MAX; i++) {
        buf_text(p->out, "  ");
        utf8_clean(p->out, texts[i]);
        buf_char(p->out, '\n');
    }
    write_rest(p, count);
}

static void
write_expected(struct buf *out, const struct expected *e)
{
    if (!e->has_shape) {
        buf_text(out, "any shape");
        return;
    }
    buf_char(out, '[');
    for (uint32_t i = 0; i < e->shape.rank; i++) {
        if (i > 0)
            buf_text(out, ", ");
        if (e->shape.dims[i] == MANIFEST_ANY_DIM)
            buf_char(out, '*');
        else
            buf_u64(out, e->shape.dims[i]);
    }
    buf_char(out, ']');
}

/* The width of the widest name, so that the shapes stand below each other. */
static size_t
name_column(const struct report *r, const struct mismatch *list, size_t count)
{
    size_t widest = 0;

    for (size_t i = 0; i < count && i < SHOWN_MAX; i++) {
        struct slice name = r->manifest->tensors[list[i].expected].name;
        size_t width = width_of(name.at, name.length);

        widest = width > widest ? width : widest;
    }
    return widest < NAME_COLUMN ? widest : NAME_COLUMN;
}

static void
write_shapes(struct page *p, const struct report_side *side)
{
    const struct judgement *j = &side->judgement;
    size_t column = name_column(p->r, j->shape_mismatch, j->shape_mismatch_count);

    if (j->shape_mismatch_count == 0)
        return;
    heading(p, "Another shape");
    for (size_t i = 0; i < j->shape_mismatch_count && i < SHOWN_MAX; i++) {
        const struct mismatch *mismatch = &j->shape_mismatch[i];
        const struct expected *expected = &p->r->manifest->tensors[mismatch->expected];

        buf_text(p->out, "  ");
        cell(p, expected->name, column);
        buf_text(p->out, "  expected ");
        write_expected(p->out, expected);
        buf_text(p->out, ", found ");
        shape_print(p->out, side->state.keys[mismatch->found].shape);
        buf_char(p->out, '\n');
    }
    write_rest(p, j->shape_mismatch_count);
}

static void
write_not_tensors(struct page *p, const struct report_side *side)
{
    const struct judgement *j = &side->judgement;

    if (j->not_a_tensor_count == 0)
        return;
    heading(p, "No tensor");
    for (size_t i = 0; i < j->not_a_tensor_count && i < SHOWN_MAX; i++) {
        buf_text(p->out, "  ");
        utf8_clean(p->out, p->r->manifest->tensors[j->not_a_tensor[i].expected].name);
        buf_text(p->out, " is a ");
        utf8_clean(p->out, side->state.keys[j->not_a_tensor[i].found].type);
        buf_char(p->out, '\n');
    }
    write_rest(p, j->not_a_tensor_count);
}

static void
write_containers(struct page *p)
{
    if (p->r->container_count < 2)
        return;
    heading(p, "Containers");
    for (size_t i = 0; i < p->r->container_count; i++) {
        const struct report_container *c = &p->r->containers[i];

        buf_text(p->out, "  ");
        cell(p, c->path.length > 0 ? c->path : slice_of("(top)"), 24);
        buf_printf(p->out, "  %-10s  %s\n", container_kind_name(c->kind), verdict_name(c->verdict));
    }
}

static void
write_ambiguities(struct page *p)
{
    if (p->r->ambiguity_count == 0)
        return;
    heading(p, "Undecided");
    for (size_t i = 0; i < p->r->ambiguity_count && i < SHOWN_MAX; i++) {
        const struct ambiguity *a = &p->r->ambiguities[i];

        buf_text(p->out, "  ");
        utf8_clean(p->out, a->what);
        buf_char(p->out, '\n');
        for (size_t k = 0; k < a->candidate_count && k < SHOWN_MAX; k++) {
            buf_text(p->out, "    ");
            utf8_clean(p->out, a->candidates[k]);
            buf_char(p->out, '\n');
        }
    }
    write_rest(p, p->r->ambiguity_count);
}

static void
write_keys(struct page *p, const struct report_side *side)
{
    const struct judgement *j = &side->judgement;

    write_shapes(p, side);
    write_not_tensors(p, side);
    write_list(p, "Errors", j->errors, j->error_count);
    if (p->r->verdict == VERDICT_STRICT || p->r->verdict == VERDICT_STRICT_AFTER_REMAP)
        return;
    write_list(p, "Missing", j->missing, j->missing_count);
    write_list(p, "Unexpected", j->unexpected, j->unexpected_count);
}

static void
write_allowed(struct page *p)
{
    if (p->r->allowed_count == 0)
        return;
    heading(p, "Allowed");
    for (size_t i = 0; i < p->r->allowed_count && i < SHOWN_MAX; i++) {
        buf_text(p->out, "  ");
        utf8_clean(p->out, p->r->allowed[i].key);
        buf_text(p->out, "  by ");
        utf8_clean(p->out, p->r->allowed[i].glob);
        buf_char(p->out, '\n');
    }
    write_rest(p, p->r->allowed_count);
}

void
render_text(const struct report *r, const struct render_options *options, struct buf *out)
{
    struct page p = {.r = r, .out = out, .has_colour = options->has_colour};

    write_first_line(&p);
    buf_char(out, '\n');
    write_side(&p, "as it is", &r->as_is);
    if (r->has_remap)
        write_side(&p, "remapped", &r->after_remap);
    write_remap(&p);
    write_keys(&p, r->has_remap ? &r->after_remap : &r->as_is);
    write_allowed(&p);
    write_containers(&p);
    write_ambiguities(&p);
    write_list(&p, "Contradictions", r->contradictions.texts, r->contradictions.count);
    write_list(&p, "Warnings", r->warnings.texts, r->warnings.count);
    write_list(&p, "Advice", r->advice.texts, r->advice.count);
}
