/*
 * Matching. A number takes the whole run of digits, a pattern's {*} whatever the segments before and
 * after it leave: so there is never a second way to try.
 */
#include "common/base/num.h"
#include "common/compat/pattern.h"

/* Bind a letter, or hold the number against what it is bound to. */
static bool
bind_number(struct bindings *b, char letter, int64_t value)
{
    unsigned index = pattern_letter(letter);

    if ((b->bound & UINT64_C(1) << index) != 0)
        return b->numbers[index] == value;
    b->bound |= UINT64_C(1) << index;
    b->numbers[index] = value;
    return true;
}

static bool
bind_name(struct bindings *b, struct slice name, struct slice value)
{
    for (size_t i = 0; i < b->name_count; i++) {
        if (slice_equal(b->names[i].name, name))
            return slice_equal(b->names[i].value, value);
    }
    if (b->name_count == PATTERN_NAMES_MAX)
        return false;
    b->names[b->name_count].name = name;
    b->names[b->name_count].value = value;
    b->name_count++;
    return true;
}

static bool
match_number(char letter, struct slice *rest, struct bindings *b)
{
    size_t length = 0;
    int64_t value;

    while (length < rest->length && rest->at[length] >= '0' && rest->at[length] <= '9')
        length++;
    if (!num_parse_i64(slice_part(*rest, 0, length), &value))
        return false;
    *rest = slice_from(*rest, length);
    return bind_number(b, letter, value);
}

static bool
match_segment(const struct segment *s, struct slice text, struct bindings *b)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct part *part = &s->parts[i];

        switch (part->kind) {
        case PART_TEXT:
            if (!slice_starts(text, part->text))
                return false;
            text = slice_from(text, part->text.length);
            break;
        case PART_NUMBER:
            if (!match_number(part->terms[0].letter, &text, b))
                return false;
            break;
        case PART_NAME:
            return bind_name(b, part->text, text);
        case PART_REST:
            return false;
        }
    }
    return text.length == 0;
}

bool
pattern_match_run(const struct pattern *p, const struct slice *segments, struct bindings *b)
{
    for (size_t i = 0; i < p->count; i++) {
        if (!match_segment(&p->segments[i], segments[i], b))
            return false;
    }
    return true;
}

bool
pattern_match(const struct pattern *p, const struct slice *segments, size_t count,
              struct bindings *b)
{
    size_t after;
    const struct slice *last;

    if (p->rest == SIZE_MAX)
        return count == p->count && pattern_match_run(p, segments, b);
    if (count < p->count)
        return false;
    for (size_t i = 0; i < p->rest; i++) {
        if (!match_segment(&p->segments[i], segments[i], b))
            return false;
    }
    after = p->count - p->rest - 1;
    for (size_t i = 0; i < after; i++) {
        if (!match_segment(&p->segments[p->rest + 1 + i], segments[count - after + i], b))
            return false;
    }
    last = &segments[count - after - 1];
    b->has_rest = true;
    b->rest.at = segments[p->rest].at;
    b->rest.length = (size_t)(last->at + last->length - b->rest.at);
    return true;
}

static bool
add_value(int64_t *sum, bool is_minus, int64_t value)
{
    bool overflows = is_minus ? __builtin_sub_overflow(*sum, value, sum)
                              : __builtin_add_overflow(*sum, value, sum);

    return !overflows && *sum >= 0;
}

static bool
product(const struct term *term, const struct bindings *b, int64_t *ret_value)
{
    *ret_value = term->coefficient;
    if (term->letter == 0)
        return true;
    return !__builtin_mul_overflow(term->coefficient, b->numbers[pattern_letter(term->letter)],
                                   ret_value);
}

/* A sum without quotients: what stands in parentheses. */
static bool
sum_products(const struct term *terms, size_t count, const struct bindings *b, int64_t *ret_value)
{
    *ret_value = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t value;

        if (!product(&terms[i], b, &value) || !add_value(ret_value, terms[i].is_minus, value))
            return false;
    }
    return true;
}

static bool
compute(const struct part *part, const struct bindings *b, int64_t *ret_value)
{
    *ret_value = 0;
    for (size_t i = 0; i < part->term_count; i++) {
        const struct term *term = &part->terms[i];
        int64_t value;

        if (term->division == 0) {
            if (!product(term, b, &value))
                return false;
        } else {
            if (!sum_products(term->inner, term->inner_count, b, &value))
                return false;
            value = term->division == '/' ? value / term->divisor : value % term->divisor;
        }
        if (!add_value(ret_value, term->is_minus, value))
            return false;
    }
    return true;
}

static struct slice
bound_name(const struct bindings *b, struct slice name)
{
    for (size_t i = 0; i < b->name_count; i++) {
        if (slice_equal(b->names[i].name, name))
            return b->names[i].value;
    }
    return (struct slice){0};
}

static bool
make_part(const struct part *part, const struct bindings *b, struct buf *out)
{
    int64_t value;

    switch (part->kind) {
    case PART_TEXT:
        buf_slice(out, part->text);
        break;
    case PART_NUMBER:
        if (!compute(part, b, &value))
            return false;
        buf_u64(out, (uint64_t)value);
        break;
    case PART_NAME:
        buf_slice(out, bound_name(b, part->text));
        break;
    case PART_REST:
        buf_slice(out, b->rest);
        break;
    }
    return true;
}

bool
pattern_make(const struct pattern *template, const struct bindings *b, struct buf *out)
{
    for (size_t i = 0; i < template->count; i++) {
        const struct segment *s = &template->segments[i];

        if (i > 0)
            buf_char(out, '.');
        for (size_t j = 0; j < s->count; j++) {
            if (!make_part(&s->parts[j], b, out))
                return false;
        }
    }
    return true;
}

/* The next part of a pattern after *segment, *part; NULL at the end. */
static const struct part *
next_part(const struct pattern *p, size_t *segment, size_t *part)
{
    while (*segment < p->count) {
        if (*part < p->segments[*segment].count)
            return &p->segments[*segment].parts[(*part)++];
        (*segment)++;
        *part = 0;
    }
    return NULL;
}

static uint64_t
letters_of(const struct term *terms, size_t count)
{
    uint64_t letters = 0;

    for (size_t i = 0; i < count; i++) {
        if (terms[i].letter != 0)
            letters |= UINT64_C(1) << pattern_letter(terms[i].letter);
        for (size_t j = 0; j < terms[i].inner_count; j++) {
            if (terms[i].inner[j].letter != 0)
                letters |= UINT64_C(1) << pattern_letter(terms[i].inner[j].letter);
        }
    }
    return letters;
}

uint64_t
pattern_letters(const struct pattern *p)
{
    uint64_t letters = 0;
    size_t segment = 0, at = 0;
    const struct part *part;

    while ((part = next_part(p, &segment, &at)) != NULL)
        letters |= letters_of(part->terms, part->term_count);
    return letters;
}

static bool
has_name(const struct pattern *p, struct slice name)
{
    size_t segment = 0, at = 0;
    const struct part *part;

    while ((part = next_part(p, &segment, &at)) != NULL) {
        if (part->kind == PART_NAME && slice_equal(part->text, name))
            return true;
    }
    return false;
}

bool
pattern_binds(const struct pattern *p, const struct pattern *template, struct slice *ret_unbound)
{
    size_t segment = 0, at = 0;
    const struct part *part;

    if (template->rest != SIZE_MAX && p->rest == SIZE_MAX) {
        *ret_unbound = slice_of("*");
        return false;
    }
    while ((part = next_part(template, &segment, &at)) != NULL) {
        if (part->kind != PART_NAME || has_name(p, part->text))
            continue;
        *ret_unbound = part->text;
        return false;
    }
    return true;
}

size_t
pattern_names(const struct pattern *p)
{
    size_t segment = 0, at = 0, count = 0;
    const struct part *part;

    while ((part = next_part(p, &segment, &at)) != NULL)
        count += part->kind == PART_NAME;
    return count;
}
