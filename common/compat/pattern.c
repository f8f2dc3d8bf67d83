#include "common/compat/pattern.h"

#include "common/base/num.h"

/* The expression in one pair of braces, read from left to right. */
struct reader {
    struct slice whole; /* the pattern, for messages */
    struct slice rest;  /* of the expression */
    struct term *terms; /* free space for terms */
    size_t free_terms;
    bool has_letter;
    bool has_quotient;
};

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

unsigned
pattern_letter(char c)
{
    return c >= 'a' ? (unsigned)(c - 'a') : 26U + (unsigned)(c - 'A');
}

static bool
is_name(struct slice text)
{
    if (text.length < 2)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.at[i];

        if (!(c >= 'a' && c <= 'z') && !is_digit(c) && c != '_')
            return false;
    }
    return true;
}

static char
here(const struct reader *r)
{
    return r->rest.length == 0 ? '\0' : r->rest.at[0];
}

static bool
take(struct reader *r, char c)
{
    if (here(r) != c)
        return false;
    r->rest = slice_from(r->rest, 1);
    return true;
}

static enum status
take_number(struct reader *r, int64_t *ret_value, struct err *err)
{
    size_t length = 0;
    struct slice digits;

    while (length < r->rest.length && is_digit(r->rest.at[length]))
        length++;
    digits = slice_part(r->rest, 0, length);
    FAIL_IF(!num_parse_i64(digits, ret_value), err, BAD_REMAP, 0,
            "in \"%.*s\" a number is missing, has a leading zero, or is too large",
            SLICE_PRINT(r->whole));
    r->rest = slice_from(r->rest, length);
    return OK;
}

static enum status
add_term(struct reader *r, struct term **ret_term, struct err *err)
{
    FAIL_IF(r->free_terms == 0, err, BAD_REMAP, 0, "\"%.*s\" has more than %d terms in one number",
            SLICE_PRINT(r->whole), PATTERN_TERMS_MAX);
    *ret_term = r->terms++;
    r->free_terms--;
    return OK;
}

/* 3, i, 3*i or i*3, after its sign. */
static enum status
read_product(struct reader *r, struct term *term, struct err *err)
{
    term->coefficient = 1;
    if (is_letter(here(r))) {
        term->letter = here(r);
        (void)take(r, term->letter);
        if (take(r, '*'))
            TRY(take_number(r, &term->coefficient, err));
    } else {
        TRY(take_number(r, &term->coefficient, err));
        if (!take(r, '*'))
            return OK;
        FAIL_IF(!is_letter(here(r)), err, BAD_REMAP, 0, "in \"%.*s\" a letter must follow the '*'",
                SLICE_PRINT(r->whole));
        term->letter = here(r);
        (void)take(r, term->letter);
    }
    r->has_letter = true;
    return OK;
}

/* The division after what is now in *term, if there is one. */
static enum status
read_division(struct reader *r, struct term *term, const struct term *inner, size_t inner_count,
              struct err *err)
{
    char division = here(r);

    FAIL_IF(r->has_quotient, err, BAD_REMAP, 0, "\"%.*s\" divides more than once in one number",
            SLICE_PRINT(r->whole));
    r->has_quotient = true;
    (void)take(r, division);
    *term = (struct term){.is_minus = term->is_minus,
                          .division = division,
                          .inner = inner,
                          .inner_count = inner_count};
    TRY(take_number(r, &term->divisor, err));
    FAIL_IF(term->divisor < 1 || term->divisor > (int64_t)1 << 31, err, BAD_REMAP, 0,
            "in \"%.*s\" the divisor is not from 1 to 2147483648", SLICE_PRINT(r->whole));
    return OK;
}

/* The sum within parentheses: products only. */
static enum status
read_inner(struct reader *r, struct term *ret_inner, size_t *ret_count, struct err *err)
{
    bool is_minus = false;

    for (*ret_count = 0;; (*ret_count)++) {
        struct term *term = ret_inner + *ret_count;

        FAIL_IF(*ret_count == PATTERN_TERMS_MAX, err, BAD_REMAP, 0,
                "\"%.*s\" has more than %d terms in one number", SLICE_PRINT(r->whole),
                PATTERN_TERMS_MAX);
        term->is_minus = is_minus;
        TRY(read_product(r, term, err));
        if (take(r, ')')) {
            (*ret_count)++;
            return OK;
        }
        is_minus = here(r) == '-';
        FAIL_IF(!take(r, '+') && !take(r, '-'), err, BAD_REMAP, 0,
                "in \"%.*s\" a parenthesis is not closed", SLICE_PRINT(r->whole));
    }
}

static enum status
read_term(struct reader *r, struct arena *arena, struct term *term, struct err *err)
{
    struct term *inner;
    size_t count = 1;
    bool is_group = take(r, '(');

    if (!is_group) {
        TRY(read_product(r, term, err));
        if (here(r) != '/' && here(r) != '%')
            return OK;
    }
    inner = arena_alloc(arena, PATTERN_TERMS_MAX, sizeof *inner);
    if (inner == NULL)
        return arena_fail(arena, err);
    if (is_group) {
        TRY(read_inner(r, inner, &count, err));
        FAIL_IF(here(r) != '/' && here(r) != '%', err, BAD_REMAP, 0,
                "in \"%.*s\" parentheses stand only before / or %%", SLICE_PRINT(r->whole));
    } else {
        *inner = *term;
        inner->is_minus = false;
    }
    return read_division(r, term, inner, count, err);
}

static enum status
read_sum(struct slice whole, struct slice text, struct arena *arena, struct part *part,
         struct err *err)
{
    struct term *terms = arena_alloc(arena, PATTERN_TERMS_MAX, sizeof *terms);
    struct reader r = {
        .whole = whole, .rest = text, .terms = terms, .free_terms = PATTERN_TERMS_MAX};
    bool is_minus = false;

    if (terms == NULL)
        return arena_fail(arena, err);
    for (;;) {
        struct term *term = NULL;

        TRY(add_term(&r, &term, err));
        term->is_minus = is_minus;
        TRY(read_term(&r, arena, term, err));
        part->term_count++;
        if (r.rest.length == 0)
            break;
        is_minus = here(&r) == '-';
        FAIL_IF(!take(&r, '+') && !take(&r, '-'), err, BAD_REMAP, 0,
                "\"%.*s\" has a number that cannot be read: {%.*s}", SLICE_PRINT(whole),
                SLICE_PRINT(text));
    }
    FAIL_IF(!r.has_letter, err, BAD_REMAP, 0, "\"%.*s\" has a number without a letter: {%.*s}",
            SLICE_PRINT(whole), SLICE_PRINT(text));
    part->kind = PART_NUMBER;
    part->terms = terms;
    return OK;
}

static enum status
read_letter(char letter, struct arena *arena, struct part *part, struct err *err)
{
    struct term *term = arena_alloc(arena, 1, sizeof *term);

    if (term == NULL)
        return arena_fail(arena, err);
    *term = (struct term){.letter = letter, .coefficient = 1};
    *part = (struct part){.kind = PART_NUMBER, .terms = term, .term_count = 1};
    return OK;
}

/* What stands in one pair of braces. */
static enum status
read_braces(struct slice whole, struct slice text, bool is_template, struct arena *arena,
            struct part *part, struct err *err)
{
    if (slice_is(text, "*")) {
        part->kind = PART_REST;
        return OK;
    }
    if (is_name(text)) {
        part->kind = PART_NAME;
        part->text = text;
        return OK;
    }
    if (text.length == 1 && is_letter(text.at[0]))
        return read_letter(text.at[0], arena, part, err);
    FAIL_IF(!is_template, err, BAD_REMAP, 0,
            "\"%.*s\" has {%.*s}, which is neither {*}, one letter, nor a name of two or more of "
            "[a-z0-9_]",
            SLICE_PRINT(whole), SLICE_PRINT(text));
    return read_sum(whole, text, arena, part, err);
}

/* The pattern as it grows: one segment after the other, one part after the other. */
struct build {
    struct pattern *p;
    struct segment *segments;
    struct part *parts; /* free space */
    char *plain;        /* free space for unescaped text */
    struct slice run;   /* of plain text that no part holds yet */
};

static void
end_run(struct build *b)
{
    if (b->run.length == 0)
        return;
    *b->parts++ = (struct part){.kind = PART_TEXT, .text = b->run};
    b->segments[b->p->count].count++;
    b->run = (struct slice){0};
}

static void
add_plain(struct build *b, char c)
{
    if (b->run.length == 0)
        b->run.at = b->plain;
    *b->plain++ = c;
    b->run.length++;
}

/* The rules for what may stand beside what in one segment. */
static enum status
check_segment(const struct pattern *p, const struct segment *s, bool is_template, struct err *err)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct part *part = &s->parts[i];

        FAIL_IF((part->kind == PART_REST || part->kind == PART_NAME) && s->count > 1, err,
                BAD_REMAP, 0, "in \"%.*s\" {*} and {names} stand for whole segments",
                SLICE_PRINT(p->text));
        if (is_template || part->kind != PART_NUMBER || i + 1 == s->count)
            continue;
        FAIL_IF(s->parts[i + 1].kind != PART_TEXT || is_digit(s->parts[i + 1].text.at[0]), err,
                BAD_REMAP, 0, "in \"%.*s\" something other than a digit must follow a number",
                SLICE_PRINT(p->text));
    }
    return OK;
}

static enum status
end_segment(struct build *b, bool is_template, struct err *err)
{
    struct segment *s = &b->segments[b->p->count];

    end_run(b);
    TRY(check_segment(b->p, s, is_template, err));
    if (s->count == 1 && s->parts[0].kind == PART_REST) {
        FAIL_IF(b->p->rest != SIZE_MAX, err, BAD_REMAP, 0, "\"%.*s\" has {*} more than once",
                SLICE_PRINT(b->p->text));
        b->p->rest = b->p->count;
    }
    b->p->count++;
    b->segments[b->p->count].parts = b->parts;
    return OK;
}

/* One brace at text[at]: an escape or a capture. Leaves how many bytes it took. */
static enum status
read_brace(struct build *b, size_t at, bool is_template, struct arena *arena, size_t *ret_length,
           struct err *err)
{
    struct slice text = b->p->text;
    char c = text.at[at];
    const char *close;
    struct slice inside;

    *ret_length = 2;
    if (at + 1 < text.length && text.at[at + 1] == c) {
        add_plain(b, c);
        return OK;
    }
    FAIL_IF(c == '}', err, BAD_REMAP, at, "\"%.*s\" has a lone '}'; a brace is written }}",
            SLICE_PRINT(text));
    close = memchr(text.at + at, '}', text.length - at);
    FAIL_IF(close == NULL, err, BAD_REMAP, at,
            "\"%.*s\" has a '{' that is not closed; a brace is written {{", SLICE_PRINT(text));
    inside = slice_part(text, at + 1, (size_t)(close - text.at) - at - 1);
    end_run(b);
    TRY(read_braces(text, inside, is_template, arena, b->parts, err));
    b->parts++;
    b->segments[b->p->count].count++;
    b->p->is_literal = false;
    *ret_length = inside.length + 2;
    return OK;
}

static enum status
begin(struct build *b, struct arena *arena, struct err *err)
{
    struct slice text = b->p->text;
    size_t segments = 1, braces = 0;

    for (size_t i = 0; i < text.length; i++) {
        segments += text.at[i] == '.';
        braces += text.at[i] == '{';
    }
    FAIL_IF(segments > PATTERN_SEGMENTS_MAX, err, BAD_REMAP, 0,
            "a pattern of more than %d segments", PATTERN_SEGMENTS_MAX);
    b->segments = arena_alloc(arena, segments + 1, sizeof *b->segments);
    if (b->segments == NULL)
        return arena_fail(arena, err);
    b->parts = arena_alloc(arena, segments + 2 * braces + 1, sizeof *b->parts);
    if (b->parts == NULL)
        return arena_fail(arena, err);
    b->plain = arena_alloc(arena, text.length + 1, 1);
    if (b->plain == NULL)
        return arena_fail(arena, err);
    b->segments[0].parts = b->parts;
    return OK;
}

/* The key that a pattern without captures stands for. */
static enum status
join_literal(struct pattern *p, struct arena *arena, struct err *err)
{
    char *key;

    if (memchr(p->text.at, '{', p->text.length) == NULL &&
        memchr(p->text.at, '}', p->text.length) == NULL) {
        p->literal = p->text;
        return OK;
    }
    key = arena_alloc(arena, p->text.length + 1, 1);
    if (key == NULL)
        return arena_fail(arena, err);
    p->literal.at = key;
    for (size_t i = 0; i < p->count; i++) {
        if (i > 0)
            key[p->literal.length++] = '.';
        if (p->segments[i].count == 0)
            continue;
        memcpy(key + p->literal.length, p->segments[i].parts[0].text.at,
               p->segments[i].parts[0].text.length);
        p->literal.length += p->segments[i].parts[0].text.length;
    }
    return OK;
}

enum status
pattern_parse(struct slice text, bool is_template, struct arena *arena, struct pattern *ret_pattern,
              struct err *err)
{
    struct pattern p = {.text = text, .rest = SIZE_MAX, .is_literal = true};
    struct build b = {.p = &p};
    size_t taken;

    FAIL_IF(text.length == 0, err, BAD_REMAP, 0, "an empty pattern");
    TRY(begin(&b, arena, err));
    for (size_t at = 0; at < text.length; at += taken) {
        char c = text.at[at];

        taken = 1;
        if (c == '{' || c == '}')
            TRY(read_brace(&b, at, is_template, arena, &taken, err));
        else if (c == '.')
            TRY(end_segment(&b, is_template, err));
        else
            add_plain(&b, c);
    }
    TRY(end_segment(&b, is_template, err));
    p.segments = b.segments;
    if (p.is_literal)
        TRY(join_literal(&p, arena, err));
    *ret_pattern = p;
    return OK;
}

enum status
pattern_of_text(struct slice text, struct arena *arena, struct slice *ret_pattern, struct err *err)
{
    size_t braces = 0;
    char *copy;

    for (size_t i = 0; i < text.length; i++)
        braces += text.at[i] == '{' || text.at[i] == '}';
    if (braces == 0) {
        *ret_pattern = text;
        return OK;
    }
    copy = arena_alloc(arena, text.length + braces, 1);
    if (copy == NULL)
        return arena_fail(arena, err);
    *ret_pattern = (struct slice){.at = copy, .length = text.length + braces};
    for (size_t i = 0; i < text.length; i++) {
        *copy++ = text.at[i];
        if (text.at[i] == '{' || text.at[i] == '}')
            *copy++ = text.at[i];
    }
    return OK;
}
