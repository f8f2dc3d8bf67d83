/*
 * Remaps as lines, one rule a line:
 *
 *     from[, from…] -> to[, to…]  [op key=value …]  # comment
 *     from -> (drop)
 *     /from/ -> /to/                                 a segment rule; // is nothing
 *     ---                                            the next pass
 *     container NAME, metadata rename                before all rules
 *
 * A token is a run of [A-Za-z0-9_.{}*+%()/:-], or a JSON string. A key pattern that begins with a
 * slash or is "(drop)" is quoted; a segment pattern is quoted between its slashes.
 */
#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/base/num.h"
#include "common/base/utf8.h"
#include "common/compat/remap_draft.h"

struct token {
    struct slice text;  /* as written */
    struct slice value; /* unquoted, without a segment's slashes */
    bool is_string;     /* it was quoted */
    bool is_segment;    /* it stood between slashes */
};

struct line {
    struct slice whole;
    struct slice rest;
    size_t number;
    const struct limits *limits;
    struct arena *arena;
};

static bool
is_bare(char c)
{
    static const char others[] = "_.{}*+%()/:-";

    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr(others, c) != NULL);
}

static void
skip_space(struct line *l)
{
    while (l->rest.length > 0 &&
           (l->rest.at[0] == ' ' || l->rest.at[0] == '\t' || l->rest.at[0] == '\r'))
        l->rest = slice_from(l->rest, 1);
    if (l->rest.length > 0 && l->rest.at[0] == '#')
        l->rest = slice_from(l->rest, l->rest.length);
}

static bool
is_end(struct line *l)
{
    skip_space(l);
    return l->rest.length == 0;
}

static bool
take_text(struct line *l, const char *text)
{
    struct slice s = slice_of(text);

    skip_space(l);
    if (!slice_starts(l->rest, s))
        return false;
    l->rest = slice_from(l->rest, s.length);
    return true;
}

/* The length of the JSON string at the start, both quotes included; 0 if it does not end. */
static size_t
string_length(struct slice s)
{
    for (size_t i = 1; i < s.length; i++) {
        if (s.at[i] == '\\')
            i++;
        else if (s.at[i] == '"')
            return i + 1;
    }
    return 0;
}

static enum status
take_string(struct line *l, struct slice *ret_value, struct err *err)
{
    CLEANUP(json_done) struct json j = {0};
    size_t length = string_length(l->rest);
    struct err inner = {0};

    FAIL_IF(length == 0, err, BAD_REMAP, 0, "line %zu: a string is not closed", l->number);
    json_open(&j, slice_part(l->rest, 0, length), l->limits, l->arena);
    FAIL_IF(json_string(&j, "a token", ret_value, &inner) != OK || json_finish(&j, &inner) != OK,
            err, BAD_REMAP, 0, "line %zu: %s", l->number, inner.text);
    l->rest = slice_from(l->rest, length);
    return OK;
}

static struct slice
take_bare(struct line *l)
{
    struct slice bare = {.at = l->rest.at};

    while (bare.length < l->rest.length && is_bare(l->rest.at[bare.length]))
        bare.length++;
    l->rest = slice_from(l->rest, bare.length);
    return bare;
}

/* /"any text"/ */
static enum status
take_quoted_segment(struct line *l, struct token *token, struct err *err)
{
    l->rest = slice_from(l->rest, 1);
    TRY(take_string(l, &token->value, err));
    FAIL_IF(l->rest.length == 0 || l->rest.at[0] != '/', err, BAD_REMAP, 0,
            "line %zu: a segment pattern ends with a slash", l->number);
    l->rest = slice_from(l->rest, 1);
    token->is_string = token->is_segment = true;
    return OK;
}

/* Bare tokens end before an arrow, whose '-' they could hold. */
static enum status
take_token(struct line *l, struct token *ret_token, struct err *err)
{
    struct token token = {0};

    skip_space(l);
    if (slice_starts(l->rest, slice_of("/\""))) {
        TRY(take_quoted_segment(l, &token, err));
    } else if (l->rest.length > 0 && l->rest.at[0] == '"') {
        TRY(take_string(l, &token.value, err));
        token.is_string = true;
    } else {
        token.text = token.value = take_bare(l);
        FAIL_IF(token.text.length == 0, err, BAD_REMAP, 0,
                "line %zu: a pattern is missing, or has a character that must be quoted",
                l->number);
        if (token.text.at[0] == '/') {
            FAIL_IF(token.text.length < 2 || token.text.at[token.text.length - 1] != '/', err,
                    BAD_REMAP, 0, "line %zu: a segment pattern ends with a slash", l->number);
            token.value = slice_part(token.text, 1, token.text.length - 2);
            token.is_segment = true;
        }
    }
    *ret_token = token;
    return OK;
}

/* What stands on one side of the arrow. */
static enum status
read_side(struct line *l, bool is_from, struct remap_draft *d, bool *is_segments, struct err *err)
{
    struct vec *texts = is_from ? &d->from : &d->to;
    bool is_first = is_from;

    do {
        struct token token;

        TRY(take_token(l, &token, err));
        if (!is_from && !token.is_string && slice_is(token.value, "(drop)")) {
            d->drops = true;
            return OK;
        }
        if (is_first)
            *is_segments = token.is_segment;
        is_first = false;
        FAIL_IF(token.is_segment != *is_segments, err, BAD_REMAP, 0,
                "line %zu: segment patterns stand between slashes on both sides, key patterns on "
                "neither",
                l->number);
        if (!is_from && token.is_segment && token.value.length == 0 && !token.is_string)
            d->vanishes = true;
        else
            TRY(remap_draft_text(texts, token.value, err));
    } while (take_text(l, ","));
    return OK;
}

static enum status
read_value(struct line *l, unsigned arg, struct remap_draft *d, struct err *err)
{
    struct slice value;
    int64_t number;
    size_t count = 0;

    if (arg == ARG_OVER) {
        value = take_bare(l);
        FAIL_IF(value.length != 1 || !((value.at[0] >= 'a' && value.at[0] <= 'z') ||
                                       (value.at[0] >= 'A' && value.at[0] <= 'Z')),
                err, BAD_REMAP, 0, "line %zu: over must be one letter", l->number);
        d->over = value.at[0];
        return OK;
    }
    if (l->rest.length == 0 || l->rest.at[0] == ' ' || l->rest.at[0] == '#')
        return OK; /* an empty list */
    for (;;) {
        value = take_bare(l);
        FAIL_IF(!num_parse_i64(value, &number), err, BAD_REMAP, 0,
                "line %zu: \"%.*s\" is not an integer of 64 bits", l->number, SLICE_PRINT(value));
        TRY(remap_draft_number(d, number, err));
        count++;
        if (l->rest.length == 0 || l->rest.at[0] != ',')
            break;
        l->rest = slice_from(l->rest, 1);
    }
    if ((arg & (ARG_DIM | ARG_START | ARG_END)) == 0)
        return OK;
    /* A single number: not of the list. */
    FAIL_IF(count != 1, err, BAD_REMAP, 0, "line %zu: one number is enough", l->number);
    d->numbers.count--;
    *(arg == ARG_DIM ? &d->dim : arg == ARG_START ? &d->start : &d->end) = number;
    return OK;
}

/* Which of the arguments it is; "dim" is a list where the op takes one. */
static unsigned
find_arg(struct slice key, enum remap_op op)
{
    unsigned found = 0;

    for (const struct remap_arg_row *row = remap_args; row->name != NULL; row++) {
        if (slice_is(key, row->name) && (found == 0 || (row->arg & remap_ops[op].args) != 0))
            found = row->arg;
    }
    return found;
}

static enum status
read_op(struct line *l, struct remap_draft *d, struct err *err)
{
    struct slice name = take_bare(l);

    d->op = remap_op_find(name);
    FAIL_IF(d->op == REMAP_OP_COUNT, err, BAD_REMAP, 0, "line %zu: there is no op \"%.*s\"",
            l->number, SLICE_PRINT(name));
    while (!is_end(l)) {
        struct slice key = take_bare(l);
        unsigned arg = find_arg(key, d->op);

        FAIL_IF(arg == 0, err, BAD_REMAP, 0, "line %zu: no op takes \"%.*s\"", l->number,
                SLICE_PRINT(key));
        FAIL_IF((d->given & arg) != 0, err, BAD_REMAP, 0, "line %zu: \"%.*s\" is told twice",
                l->number, SLICE_PRINT(key));
        FAIL_IF(l->rest.length == 0 || l->rest.at[0] != '=', err, BAD_REMAP, 0,
                "line %zu: a value must follow \"%.*s=\"", l->number, SLICE_PRINT(key));
        l->rest = slice_from(l->rest, 1);
        d->given |= arg;
        TRY(read_value(l, arg, d, err));
    }
    return OK;
}

static enum status
read_rule(struct line *l, struct remap_builder *b, bool *is_segments, struct err *err)
{
    CLEANUP(remap_draft_done) struct remap_draft d = remap_draft_new();
    bool is_first = b->rules.count == 0, is_segment_rule = false;
    struct err inner = {0};
    enum status status;

    TRY(read_side(l, true, &d, &is_segment_rule, err));
    FAIL_IF(!take_text(l, "->"), err, BAD_REMAP, 0, "line %zu: an arrow \"->\" is missing",
            l->number);
    TRY(read_side(l, false, &d, &is_segment_rule, err));
    if (!is_end(l))
        TRY(read_op(l, &d, err));
    FAIL_IF(!is_first && is_segment_rule != *is_segments, err, BAD_REMAP, 0,
            "line %zu: a pass holds key rules or segment rules; begin the next with ---",
            l->number);
    *is_segments = is_segment_rule;
    status = remap_builder_rule(b, &d, is_segment_rule, &inner);
    if (status != OK)
        err_set(err, status, 0, "line %zu: %s", l->number, inner.text);
    return status;
}

/* container NAME, metadata rename: false where the line is neither, and then nothing was taken. */
static enum status
read_head(struct line *l, struct remap *r, bool *ret_is_head, struct err *err)
{
    struct line ahead = *l;
    struct token word = {0}, value = {0};

    *ret_is_head = false;
    if (ahead.rest.at[0] != 'c' && ahead.rest.at[0] != 'm')
        return OK;
    word.text = take_bare(&ahead);
    if (is_end(&ahead) || slice_starts(ahead.rest, slice_of("->")) || ahead.rest.at[0] == ',')
        return OK;
    if (!slice_is(word.text, "container") && !slice_is(word.text, "metadata"))
        return OK;
    TRY(take_token(&ahead, &value, err));
    FAIL_IF(!is_end(&ahead), err, BAD_REMAP, 0, "line %zu: more than one name", l->number);
    *ret_is_head = true;
    if (slice_is(word.text, "container")) {
        FAIL_IF(r->has_container, err, BAD_REMAP, 0, "line %zu: a second container", l->number);
        r->has_container = true;
        r->container = value.is_string ? value.value : value.text;
        return OK;
    }
    FAIL_IF(!slice_is(value.value, "rename"), err, BAD_REMAP, 0,
            "line %zu: metadata can only be \"rename\"", l->number);
    r->renames_metadata = true;
    return OK;
}

static enum status
read_line(struct line *l, struct remap_builder *b, struct remap *r, bool *is_segments,
          struct err *err)
{
    bool is_head;
    struct line ahead = *l;

    if (is_end(l))
        return OK;
    if (take_text(&ahead, "---") && is_end(&ahead))
        return remap_builder_pass(b, *is_segments, err);
    if (b->rules.count == 0 && b->passes.count == 0) {
        TRY(read_head(l, r, &is_head, err));
        if (is_head)
            return OK;
    }
    return read_rule(l, b, is_segments, err);
}

enum status
remap_parse_lines(struct slice text, const struct limits *limits, struct arena *arena,
                  struct remap *ret_remap, struct err *err)
{
    CLEANUP(remap_builder_done) struct remap_builder b = remap_builder_new(limits, arena);
    struct remap r = {0};
    bool is_segments = false;
    struct slice rest = text;

    FAIL_IF(text.length > limits->remap_bytes, err, LIMIT, 0,
            "a remap of %zu bytes; the limit is %zu", text.length, limits->remap_bytes);
    for (size_t number = 1; rest.at != NULL; number++) {
        struct line l = {.number = number, .limits = limits, .arena = arena};

        l.whole = l.rest = slice_cut(&rest, '\n');
        TRY(read_line(&l, &b, &r, &is_segments, err));
    }
    if (b.rules.count > 0 || b.passes.count > 0)
        TRY(remap_builder_pass(&b, is_segments, err));
    TRY(remap_builder_end(&b, &r, err));
    *ret_remap = r;
    return OK;
}

enum status
remap_parse(struct slice text, const struct limits *limits, struct arena *arena,
            struct remap *ret_remap, struct err *err)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.at[i] == ' ' || text.at[i] == '\t' || text.at[i] == '\r' || text.at[i] == '\n')
            continue;
        /* A pattern may begin with a brace as well, but then a letter or a star follows it. */
        if (text.at[i] != '{')
            break;
        for (i++; i < text.length; i++) {
            char c = text.at[i];

            if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
                continue;
            if (c == '"' || c == '}')
                return remap_parse_json(text, limits, arena, ret_remap, err);
            return remap_parse_lines(text, limits, arena, ret_remap, err);
        }
        return remap_parse_json(text, limits, arena, ret_remap, err);
    }
    return remap_parse_lines(text, limits, arena, ret_remap, err);
}

static bool
is_all_bare(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (!is_bare(text.at[i]))
            return false;
    }
    return text.length > 0;
}

static void
write_token(struct buf *out, struct slice text, bool is_segment)
{
    if (is_segment)
        buf_char(out, '/');
    if (is_all_bare(text) && (is_segment || (text.at[0] != '/' && !slice_is(text, "(drop)"))))
        buf_slice(out, text);
    else
        json_quote(out, text);
    if (is_segment)
        buf_char(out, '/');
}

static void
write_side(struct buf *out, const struct pattern *patterns, size_t count, bool is_segments)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_text(out, ", ");
        write_token(out, patterns[i].text, is_segments);
    }
}

void
remap_write_rule(struct buf *out, const struct remap_rule *rule, bool is_segments)
{
    write_side(out, rule->from, rule->from_count, is_segments);
    buf_text(out, " -> ");
    if (rule->to_count == 0)
        buf_text(out, is_segments ? "//" : "(drop)");
    write_side(out, rule->to, rule->to_count, is_segments);
    if (rule->op != REMAP_OP_NONE) {
        buf_text(out, "  ");
        remap_ops_write(out, rule);
    }
}

static void
write_annotation(struct buf *out, const struct remap_rule *rule)
{
    if (rule->count == 0 && rule->evidence.length == 0)
        return;
    buf_text(out, "  # ");
    if (rule->count > 0)
        buf_printf(out, "%llu key%s%s", (unsigned long long)rule->count,
                   rule->count == 1 ? "" : "s", rule->evidence.length > 0 ? ": " : "");
    utf8_clean(out, rule->evidence);
}

void
remap_write_lines(struct buf *out, const struct remap *r, bool annotated)
{
    if (r->has_container) {
        buf_text(out, "container ");
        write_token(out, r->container, false);
        buf_char(out, '\n');
    }
    if (r->renames_metadata)
        buf_text(out, "metadata rename\n");
    for (size_t i = 0; i < r->pass_count; i++) {
        const struct remap_pass *pass = &r->passes[i];

        if (i > 0)
            buf_text(out, "---\n");
        for (size_t k = 0; k < pass->rule_count; k++) {
            remap_write_rule(out, &pass->rules[k], pass->is_segments);
            if (annotated)
                write_annotation(out, &pass->rules[k]);
            buf_char(out, '\n');
        }
    }
}
