/*
 * Remaps as JSON, ckptd/remap/1.
 */
#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/base/num.h"
#include "common/compat/remap_draft.h"

/* The next token, of the kind that must stand there: what is JSON but no remap is ERR_BAD_REMAP. */
static enum status
expect(struct json *j, enum json_kind kind, const char *what, struct slice *ret_text,
       struct err *err)
{
    struct json_token token;

    TRY(json_next(j, &token, err));
    FAIL_IF(token.kind != kind, err, BAD_REMAP, token.offset, "%s must be %s, not %s", what,
            json_kind_name(kind), json_kind_name(token.kind));
    if (ret_text != NULL)
        *ret_text = token.text;
    return OK;
}

static enum status
read_number(struct json *j, const char *what, int64_t *ret_number, struct err *err)
{
    struct slice text;

    TRY(expect(j, JSON_NUMBER, what, &text, err));
    FAIL_IF(!num_parse_i64(text, ret_number), err, BAD_REMAP, j->at,
            "%s must be an integer of 64 bits, not %.*s", what, SLICE_PRINT(text));
    return OK;
}

static enum status
read_numbers(struct json *j, const char *what, struct remap_draft *d, struct err *err)
{
    TRY(expect(j, JSON_ARRAY, what, NULL, err));
    for (;;) {
        bool is_end;
        int64_t number;

        TRY(json_element(j, &is_end, err));
        if (is_end)
            return OK;
        TRY(read_number(j, what, &number, err));
        TRY(remap_draft_number(d, number, err));
    }
}

/* One text or a list of them; null where that is allowed. */
static enum status
read_texts(struct json *j, const char *what, struct vec *texts, bool *ret_is_null, struct err *err)
{
    struct json_token token;
    struct slice text;
    bool is_end;

    TRY(json_peek(j, &token, err));
    if (token.kind == JSON_NULL && ret_is_null != NULL) {
        *ret_is_null = true;
        return json_next(j, &token, err);
    }
    if (token.kind != JSON_ARRAY) {
        TRY(expect(j, JSON_STRING, what, &text, err));
        return remap_draft_text(texts, text, err);
    }
    TRY(json_next(j, &token, err));
    for (;;) {
        TRY(json_element(j, &is_end, err));
        if (is_end)
            break;
        TRY(expect(j, JSON_STRING, what, &text, err));
        TRY(remap_draft_text(texts, text, err));
    }
    FAIL_IF(texts->count == 0, err, BAD_REMAP, token.offset, "%s is an empty list", what);
    return OK;
}

static enum status
read_dim(struct json *j, struct remap_draft *d, struct err *err)
{
    struct json_token token;

    TRY(json_peek(j, &token, err));
    if (token.kind == JSON_ARRAY) {
        d->given |= ARG_DIM_LIST;
        return read_numbers(j, "dim", d, err);
    }
    d->given |= ARG_DIM;
    return read_number(j, "dim", &d->dim, err);
}

static enum status
read_over(struct json *j, struct remap_draft *d, struct err *err)
{
    struct slice text;

    TRY(expect(j, JSON_STRING, "over", &text, err));
    FAIL_IF(text.length != 1 || !((text.at[0] >= 'a' && text.at[0] <= 'z') ||
                                  (text.at[0] >= 'A' && text.at[0] <= 'Z')),
            err, BAD_REMAP, j->at, "over must be one letter, not \"%.*s\"", SLICE_PRINT(text));
    d->given |= ARG_OVER;
    d->over = text.at[0];
    return OK;
}

static enum status
read_op(struct json *j, struct remap_draft *d, struct err *err)
{
    struct slice text;

    TRY(expect(j, JSON_STRING, "op", &text, err));
    d->op = remap_op_find(text);
    FAIL_IF(d->op == REMAP_OP_COUNT, err, BAD_REMAP, j->at, "there is no op \"%.*s\"",
            SLICE_PRINT(text));
    return OK;
}

static enum status
read_drop(struct json *j, struct remap_draft *d, struct err *err)
{
    TRY(expect(j, JSON_TRUE, "drop", NULL, err));
    d->drops = true;
    return OK;
}

static enum status
read_arg(struct json *j, struct slice key, struct remap_draft *d, struct err *err)
{
    if (slice_is(key, "dim"))
        return read_dim(j, d, err);
    if (slice_is(key, "over"))
        return read_over(j, d, err);
    for (const struct remap_arg_row *row = remap_args; row->name != NULL; row++) {
        if (!slice_is(key, row->name))
            continue;
        d->given |= row->arg;
        if (row->arg == ARG_START)
            return read_number(j, row->name, &d->start, err);
        if (row->arg == ARG_END)
            return read_number(j, row->name, &d->end, err);
        return read_numbers(j, row->name, d, err);
    }
    FAIL(err, BAD_REMAP, j->at, "a rule has no member \"%.*s\"", SLICE_PRINT(key));
}

static enum status
read_member(struct json *j, struct slice key, struct remap_draft *d, struct err *err)
{
    if (slice_is(key, "from"))
        return read_texts(j, "from", &d->from, NULL, err);
    if (slice_is(key, "to"))
        return read_texts(j, "to", &d->to, &d->vanishes, err);
    if (slice_is(key, "drop"))
        return read_drop(j, d, err);
    if (slice_is(key, "op"))
        return read_op(j, d, err);
    if (slice_is(key, "count") || slice_is(key, "evidence"))
        return json_skip(j, NULL, err);
    return read_arg(j, key, d, err);
}

static enum status
read_rule(struct json *j, bool is_segments, struct remap_builder *b, struct err *err)
{
    CLEANUP(remap_draft_done) struct remap_draft d = remap_draft_new();

    TRY(expect(j, JSON_OBJECT, "a rule", NULL, err));
    for (;;) {
        struct slice key;
        bool is_end;

        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            return remap_builder_rule(b, &d, is_segments, err);
        TRY(read_member(j, key, &d, err));
    }
}

static enum status
read_pass(struct json *j, struct remap_builder *b, struct err *err)
{
    struct slice key;
    bool is_segments, is_end;

    TRY(expect(j, JSON_OBJECT, "a pass", NULL, err));
    TRY(json_key(j, &key, &is_end, err));
    FAIL_IF(is_end, err, BAD_REMAP, j->at, "a pass must have keys or segments");
    is_segments = slice_is(key, "segments");
    FAIL_IF(!is_segments && !slice_is(key, "keys"), err, BAD_REMAP, j->at,
            "a pass has keys or segments, not \"%.*s\"", SLICE_PRINT(key));
    TRY(expect(j, JSON_ARRAY, "a pass's rules", NULL, err));
    for (;;) {
        TRY(json_element(j, &is_end, err));
        if (is_end)
            break;
        TRY(read_rule(j, is_segments, b, err));
    }
    TRY(json_key(j, &key, &is_end, err));
    FAIL_IF(!is_end, err, BAD_REMAP, j->at, "a pass has exactly one of keys and segments");
    return remap_builder_pass(b, is_segments, err);
}

static enum status
read_passes(struct json *j, struct remap_builder *b, struct err *err)
{
    TRY(expect(j, JSON_ARRAY, "passes", NULL, err));
    for (;;) {
        bool is_end;

        TRY(json_element(j, &is_end, err));
        if (is_end)
            return OK;
        TRY(read_pass(j, b, err));
    }
}

static enum status
read_container(struct json *j, struct remap *r, struct err *err)
{
    struct json_token token;

    TRY(json_peek(j, &token, err));
    if (token.kind == JSON_NULL)
        return json_next(j, &token, err);
    r->has_container = true;
    return expect(j, JSON_STRING, "container", &r->container, err);
}

static enum status
read_top(struct json *j, struct slice key, struct remap_builder *b, struct remap *r,
         struct err *err)
{
    struct slice text;

    if (slice_is(key, "passes"))
        return read_passes(j, b, err);
    if (slice_is(key, "container"))
        return read_container(j, r, err);
    if (slice_is(key, "schema")) {
        TRY(expect(j, JSON_STRING, "schema", &text, err));
        FAIL_IF(!slice_is(text, "ckptd/remap/1"), err, BAD_REMAP, j->at,
                "the schema is \"%.*s\", not \"ckptd/remap/1\"", SLICE_PRINT(text));
        return OK;
    }
    if (slice_is(key, "metadata")) {
        TRY(expect(j, JSON_STRING, "metadata", &text, err));
        FAIL_IF(!slice_is(text, "rename"), err, BAD_REMAP, j->at,
                "metadata can only be \"rename\", not \"%.*s\"", SLICE_PRINT(text));
        r->renames_metadata = true;
        return OK;
    }
    FAIL(err, BAD_REMAP, j->at, "a remap has no member \"%.*s\"", SLICE_PRINT(key));
}

enum status
remap_parse_json(struct slice text, const struct limits *limits, struct arena *arena,
                 struct remap *ret_remap, struct err *err)
{
    CLEANUP(json_done) struct json j = {0};
    CLEANUP(remap_builder_done) struct remap_builder b = remap_builder_new(limits, arena);
    struct remap r = {0};

    FAIL_IF(text.length > limits->remap_bytes, err, LIMIT, 0,
            "a remap of %zu bytes; the limit is %zu", text.length, limits->remap_bytes);
    json_open(&j, text, limits, arena);
    TRY(expect(&j, JSON_OBJECT, "a remap", NULL, err));
    for (;;) {
        struct slice key;
        bool is_end;

        TRY(json_key(&j, &key, &is_end, err));
        if (is_end)
            break;
        TRY(read_top(&j, key, &b, &r, err));
    }
    TRY(json_finish(&j, err));
    TRY(remap_builder_end(&b, &r, err));
    *ret_remap = r;
    return OK;
}

static void
write_patterns(struct json_writer *w, const char *key, const struct pattern *patterns, size_t count)
{
    jw_key(w, key);
    if (count == 1) {
        jw_slice(w, patterns[0].text);
        return;
    }
    jw_flat_array(w);
    for (size_t i = 0; i < count; i++)
        jw_slice(w, patterns[i].text);
    jw_array_end(w);
}

static void
write_i64(struct json_writer *w, const char *key, int64_t value)
{
    jw_key(w, key);
    jw_i64(w, value);
}

static void
write_op(struct json_writer *w, const struct remap_rule *rule)
{
    unsigned args = remap_ops[rule->op].args;
    char over[2] = {rule->over, '\0'};

    jw_pair_text(w, "op", remap_op_name(rule->op));
    if ((args & ARG_OVER) != 0)
        jw_pair_text(w, "over", over);
    if ((args & ARG_DIM) != 0)
        write_i64(w, "dim", rule->dim);
    if ((args & ARG_START) != 0) {
        write_i64(w, "start", rule->start);
        write_i64(w, "end", rule->end);
    }
    for (const struct remap_arg_row *row = remap_args; row->name != NULL; row++) {
        if ((row->arg & args & (ARG_DIMS | ARG_SHAPE | ARG_SIZES | ARG_DIM_LIST)) == 0)
            continue;
        if (rule->number_count == 0 && row->arg == ARG_SIZES)
            continue;
        jw_key(w, row->name);
        jw_flat_array(w);
        for (size_t i = 0; i < rule->number_count; i++)
            jw_i64(w, rule->numbers[i]);
        jw_array_end(w);
    }
}

static void
write_rule(struct json_writer *w, const struct remap_rule *rule, bool is_segments, bool annotated)
{
    jw_object(w);
    write_patterns(w, "from", rule->from, rule->from_count);
    if (rule->to_count > 0) {
        write_patterns(w, "to", rule->to, rule->to_count);
    } else if (is_segments) {
        jw_key(w, "to");
        jw_null(w);
    } else {
        jw_pair_bool(w, "drop", true);
    }
    if (rule->op != REMAP_OP_NONE)
        write_op(w, rule);
    if (annotated && rule->count > 0)
        jw_pair_u64(w, "count", rule->count);
    if (annotated && rule->evidence.length > 0)
        jw_pair_slice(w, "evidence", rule->evidence);
    jw_object_end(w);
}

void
remap_write_json(struct json_writer *w, const struct remap *r, bool annotated)
{
    jw_object(w);
    jw_pair_text(w, "schema", "ckptd/remap/1");
    jw_key(w, "container");
    if (r->has_container)
        jw_slice(w, r->container);
    else
        jw_null(w);
    if (r->renames_metadata)
        jw_pair_text(w, "metadata", "rename");
    jw_key(w, "passes");
    jw_array(w);
    for (size_t i = 0; i < r->pass_count; i++) {
        const struct remap_pass *pass = &r->passes[i];

        jw_object(w);
        jw_key(w, pass->is_segments ? "segments" : "keys");
        jw_array(w);
        for (size_t k = 0; k < pass->rule_count; k++)
            write_rule(w, &pass->rules[k], pass->is_segments, annotated);
        jw_array_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}
