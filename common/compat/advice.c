#include "common/compat/advice.h"

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/num.h"
#include "common/base/vec.h"

enum {
    SENTENCE_BYTES = 4096,
    NAMED_MAX = 3, /* keys that a sentence names before it says "and so on" */
};

/* Wrappers that people meet, and what they save to be rid of them. */
static const struct {
    const char *segment;
    const char *whose;
    const char *instead; /* may be NULL */
} wrappers[] = {
    {"module", "DataParallel", "save model.module.state_dict()"},
    {"_orig_mod", "torch.compile", "save model._orig_mod.state_dict()"},
    {"_fsdp_wrapped_module", "FSDP", NULL},
    {"_checkpoint_wrapped_module", "activation checkpointing", NULL},
    {"_forward_module", "Lightning Fabric", NULL},
    {"model", "LightningModule", NULL},
};

/* Learned tables whose length is a setting: they are resized, not renamed. */
static const char *const tables[] = {
    "pos_embed",
    "position_embedding",
    "position_embeddings.weight",
    "relative_position_bias_table",
    "rel_pos_h",
    "rel_pos_w",
    "embed_positions.weight",
    "embed_tokens.weight",
    "word_embeddings.weight",
};

struct talk {
    const struct question *q;
    const struct attempt *shown;
    struct report *r;
    struct buf text; /* the sentence that is being made */
    struct vec warnings, advice;
};

static void
talk_done(struct talk *t)
{
    buf_done(&t->text);
    vec_done(&t->warnings);
    vec_done(&t->advice);
}

/* Add the sentence to a list. One that grew too long is not said. */
static enum status
say(struct talk *t, struct vec *list, struct err *err)
{
    struct slice *item;

    if (t->text.length == 0 || buf_check(&t->text, NULL) != OK) {
        buf_clear(&t->text);
        return OK;
    }
    TRY(vec_add(list, &item, "sentences", err));
    TRY(arena_copy(t->q->arena, buf_slice_of(&t->text), item, err));
    buf_clear(&t->text);
    return OK;
}

static const char *
plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* `a`, `b`, `c` and 5 more. */
static void
name_keys(struct buf *out, const struct slice *keys, size_t count)
{
    for (size_t i = 0; i < count && i < NAMED_MAX; i++) {
        if (i > 0)
            buf_text(out, i + 1 == count ? " and " : ", ");
        buf_char(out, '`');
        buf_slice(out, keys[i]);
        buf_char(out, '`');
    }
    if (count > NAMED_MAX)
        buf_printf(out, " and %zu more", count - NAMED_MAX);
}

/* ["models"][0]["ema"] */
static void
subscript(struct buf *out, struct slice path)
{
    while (path.at != NULL) {
        struct slice segment = slice_cut(&path, '.');
        uint64_t index;

        buf_char(out, '[');
        if (num_parse_u64(segment, &index))
            buf_u64(out, index);
        else
            buf_printf(out, "\"%.*s\"", SLICE_PRINT(segment));
        buf_char(out, ']');
    }
}

static void
join(struct buf *out, size_t *clauses)
{
    if ((*clauses)++ > 0)
        buf_text(out, ", then ");
}

/* What puts such segments there: "DataParallel and torch.compile"; nothing where it is unknown. */
static void
name_wrappers(struct buf *out, struct slice prefix)
{
    bool is_first = true;

    while (prefix.at != NULL) {
        struct slice segment = slice_cut(&prefix, '.');

        for (size_t i = 0; i < ARRAY_LENGTH(wrappers); i++) {
            if (!slice_is(segment, wrappers[i].segment))
                continue;
            buf_printf(out, "%s%s", is_first ? "" : " and ", wrappers[i].whose);
            is_first = false;
        }
    }
    if (!is_first)
        buf_char(out, ' ');
}

/* The pattern without its .{*}; false where it has another form. */
static bool
prefix_of(const struct pattern *p, struct slice *ret_prefix)
{
    struct slice rest = slice_of(".{*}");

    if (slice_is(p->text, "{*}")) {
        *ret_prefix = (struct slice){0};
        return true;
    }
    if (!slice_ends(p->text, rest) || p->rest != p->count - 1)
        return false;
    *ret_prefix = slice_part(p->text, 0, p->text.length - rest.length);
    return true;
}

static void
say_rename(struct buf *out, const struct remap_rule *rule, bool is_segments)
{
    buf_text(out, "apply `");
    remap_write_rule(out, rule, is_segments);
    buf_char(out, '`');
}

static void
say_prefix(struct buf *out, struct slice from, struct slice to)
{
    if (to.length == 0) {
        buf_text(out, "strip the ");
        name_wrappers(out, from);
        buf_printf(out, "prefix `%.*s.`", SLICE_PRINT(from));
    } else if (from.length == 0) {
        buf_printf(out, "put the prefix `%.*s.` before the keys", SLICE_PRINT(to));
    } else {
        buf_printf(out, "rename `%.*s.` to `%.*s.`", SLICE_PRINT(from), SLICE_PRINT(to));
    }
}

static void
say_rule(struct buf *out, const struct remap_rule *rule, bool is_segments)
{
    struct slice from, to;

    if (rule->to_count == 0 && is_segments) {
        buf_printf(out, "remove `%.*s` from the keys", SLICE_PRINT(rule->from[0].text));
        return;
    }
    if (rule->to_count == 0) {
        buf_printf(out, "leave out `%.*s`", SLICE_PRINT(rule->from[0].text));
        return;
    }
    if (!is_segments && rule->op == REMAP_OP_NONE && prefix_of(&rule->from[0], &from) &&
        prefix_of(&rule->to[0], &to) && !(from.length == 0 && to.length == 0))
        say_prefix(out, from, to);
    else
        say_rename(out, rule, is_segments);
}

/* ", or save model.module.state_dict()", where a single wrapper is all there is to strip. */
static void
say_instead(struct buf *out, const struct remap *r)
{
    struct slice from, to;

    if (r->pass_count != 1 || r->passes[0].rule_count != 1 || r->passes[0].is_segments)
        return;
    if (r->passes[0].rules[0].to_count != 1 || !prefix_of(&r->passes[0].rules[0].from[0], &from) ||
        !prefix_of(&r->passes[0].rules[0].to[0], &to) || to.length > 0)
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(wrappers); i++) {
        if (slice_is(from, wrappers[i].segment) && wrappers[i].instead != NULL)
            buf_printf(out, ", or %s", wrappers[i].instead);
    }
}

static enum status
advise_remap(struct talk *t, struct err *err)
{
    const struct remap *r = &t->r->remap;
    size_t clauses = 0;

    if (!t->r->has_remap || t->shown->is_given)
        return OK;
    if (r->has_container) {
        join(&t->text, &clauses);
        buf_text(&t->text, "take ");
        subscript(&t->text, r->container);
        buf_text(&t->text, " of what torch.load gives");
    }
    for (size_t i = 0; i < r->pass_count; i++) {
        for (size_t k = 0; k < r->passes[i].rule_count && clauses < 8; k++) {
            join(&t->text, &clauses);
            say_rule(&t->text, &r->passes[i].rules[k], r->passes[i].is_segments);
        }
    }
    say_instead(&t->text, r);
    buf_char(&t->text, '.');
    if (t->text.bytes != NULL && t->text.bytes[0] >= 'a' && t->text.bytes[0] <= 'z')
        t->text.bytes[0] = (char)(t->text.bytes[0] - 'a' + 'A');
    return say(t, &t->advice, err);
}

static bool
is_table(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(tables); i++) {
        struct slice tail = slice_of(tables[i]);

        if (slice_ends(name, tail))
            return true;
    }
    return false;
}

static enum status
advise_shapes(struct talk *t, struct err *err)
{
    const struct judgement *j = &t->shown->judgement;
    size_t resizable = 0;
    struct slice *names = arena_alloc(t->q->arena, j->shape_mismatch_count, sizeof *names);

    if (names == NULL)
        return arena_fail(t->q->arena, err);
    if (j->shape_mismatch_count == 0)
        return OK;
    for (size_t i = 0; i < j->shape_mismatch_count; i++) {
        names[i] = t->q->manifest->tensors[j->shape_mismatch[i].expected].name;
        resizable += is_table(names[i]);
    }
    buf_text(&t->text, "Drop ");
    name_keys(&t->text, names, j->shape_mismatch_count);
    buf_text(&t->text,
             " before load_state_dict(strict=False): PyTorch raises on another shape even "
             "then, and has filled part of the model by that time.");
    TRY(say(t, &t->advice, err));
    if (resizable == 0)
        return OK;
    buf_printf(&t->text,
               "%zu of these %s a table whose length is a setting: it wants resizing "
               "(interpolation, or other rows), which no rename does.",
               resizable, resizable == 1 ? "is" : "are");
    return say(t, &t->advice, err);
}

static enum status
advise_keys(struct talk *t, struct err *err)
{
    const struct judgement *j = &t->shown->judgement;

    if (t->r->verdict != VERDICT_NON_STRICT && t->r->verdict != VERDICT_PARTIAL)
        return OK;
    if (j->missing_count > 0) {
        name_keys(&t->text, j->missing, j->missing_count);
        buf_printf(&t->text,
                   " %s not in the checkpoint: with strict=False %s the value%s the model "
                   "was made with.",
                   j->missing_count == 1 ? "is" : "are",
                   j->missing_count == 1 ? "it keeps" : "they keep", plural(j->missing_count));
        TRY(say(t, &t->advice, err));
    }
    if (j->unexpected_count > 0) {
        name_keys(&t->text, j->unexpected, j->unexpected_count);
        buf_printf(&t->text, " %s too many: strict=False passes over %s.",
                   j->unexpected_count == 1 ? "is" : "are",
                   j->unexpected_count == 1 ? "it" : "them");
        TRY(say(t, &t->advice, err));
    }
    return OK;
}

static enum status
advise_verdict(struct talk *t, const struct inspection *in, struct err *err)
{
    if (in->safety == SAFETY_MALFORMED)
        buf_text(&t->text, "The file could not be read to its end: nothing can be said for sure.");
    else if (t->r->verdict == VERDICT_UNKNOWN && t->r->ambiguity_count > 0)
        buf_text(&t->text, "Several ways fit equally well: give a remap, or a container, to say "
                           "which is meant.");
    else if (t->r->verdict == VERDICT_UNKNOWN)
        buf_text(&t->text, "A load hook of the model's own decides: check with the model itself, "
                           "ckptd.prove(model, …).");
    else if (t->r->contradictions.count > 0)
        buf_printf(&t->text, "Another architecture: %.*s.",
                   SLICE_PRINT(t->r->contradictions.texts[0]));
    else if (t->r->verdict == VERDICT_INCOMPATIBLE && t->shown->judgement.matched == 0)
        buf_text(&t->text, "No tensor of the checkpoint fits one of the manifest's by name and "
                           "shape: is this the right checkpoint?");
    else if (t->r->verdict == VERDICT_INCOMPATIBLE)
        buf_printf(&t->text, "Only %.1f %% of the elements would be filled; %.1f %% are asked for.",
                   100.0 * t->shown->weighed.coverage.elements, 100.0 * t->q->min_coverage);
    return say(t, &t->advice, err);
}

/* Casts, counted by what becomes of what: "12 tensors are float16, the manifest says float32". */
static enum status
warn_dtypes(struct talk *t, struct err *err)
{
    const struct judgement *j = &t->shown->judgement;
    bool done[DTYPE_COUNT] = {false};

    for (size_t i = 0; i < j->dtype_mismatch_count; i++) {
        enum dtype found = t->shown->result.state.keys[j->dtype_mismatch[i].found].dtype;
        enum dtype expected = t->q->manifest->tensors[j->dtype_mismatch[i].expected].dtype;
        size_t count = 0;

        if (done[found])
            continue;
        done[found] = true;
        for (size_t k = i; k < j->dtype_mismatch_count; k++)
            count += t->shown->result.state.keys[j->dtype_mismatch[k].found].dtype == found;
        buf_printf(&t->text,
                   "%zu tensor%s %s %s where the manifest says %s%s: PyTorch casts without a "
                   "word.",
                   count, plural(count), count == 1 ? "is" : "are", dtype_name(found),
                   dtype_name(expected), count > 1 ? " or another dtype" : "");
        TRY(say(t, &t->warnings, err));
    }
    return OK;
}

static enum status
warn(struct talk *t, struct err *err)
{
    const struct judgement *j = &t->shown->judgement;

    for (size_t i = 0; i < j->warning_count; i++) {
        struct slice *item;

        TRY(vec_add(&t->warnings, &item, "warnings", err));
        *item = j->warnings[i];
    }
    if (t->r->has_remap && t->r->discarded_tensors > 0) {
        buf_printf(
            &t->text, "The remap leaves out %llu tensor%s of %llu element%s.",
            (unsigned long long)t->r->discarded_tensors, plural((size_t)t->r->discarded_tensors),
            (unsigned long long)t->r->discarded_elements, plural((size_t)t->r->discarded_elements));
        TRY(say(t, &t->warnings, err));
    }
    return warn_dtypes(t, err);
}

/* That the names fit says nothing of what opening the file does. */
static enum status
warn_safety(struct talk *t, const struct inspection *in, struct err *err)
{
    if (in->safety == SAFETY_DANGEROUS) {
        buf_text(&t->text, "The file is dangerous: opening it without weights_only runs code (see "
                           "its findings).");
        TRY(say(t, &t->warnings, err));
    }
    if (!in->weights_only.applies || in->weights_only.loads || in->container_count == 0)
        return OK;
    buf_text(&t->text, "torch.load(weights_only=True), the default since PyTorch 2.6, refuses the "
                       "file");
    if (in->weights_only.reason.length > 0) {
        buf_text(&t->text, ": ");
        buf_slice(&t->text, in->weights_only.reason);
    } else if (in->weights_only.need_count > 0) {
        buf_text(&t->text, " without add_safe_globals for ");
        buf_slice(&t->text, in->weights_only.needs[0]);
        if (in->weights_only.need_count > 1)
            buf_printf(&t->text, " and %zu more", in->weights_only.need_count - 1);
    }
    buf_char(&t->text, '.');
    return say(t, &t->warnings, err);
}

static void
count_clause(struct buf *out, size_t count, const char *singular, const char *many)
{
    if (count == 0)
        return;
    if (out->length > 0)
        buf_text(out, ", ");
    buf_printf(out, "%zu %s", count, count == 1 ? singular : many);
}

/* Why, in a few words: what stands in the way, or how much loads. */
static enum status
summarize(struct talk *t, struct err *err)
{
    const struct weighed *w = &t->shown->weighed;
    struct report *r = t->r;

    if (r->verdict <= VERDICT_STRICT_AFTER_REMAP) {
        if (t->shown->judgement.matched == t->q->manifest->count)
            buf_printf(&t->text, "all %zu tensors load", t->q->manifest->count);
        else
            buf_printf(&t->text, "%zu of %zu tensors load", t->shown->judgement.matched,
                       t->q->manifest->count);
        if (r->verdict == VERDICT_STRICT_AFTER_REMAP)
            buf_text(&t->text, " once the remap is applied");
    } else if (r->contradictions.count > 0) {
        buf_slice(&t->text, r->contradictions.texts[0]);
    } else {
        count_clause(&t->text, w->shapes, "shape mismatch", "shape mismatches");
        count_clause(&t->text, w->dtypes, "dtype mismatch", "dtype mismatches");
        count_clause(&t->text, w->not_tensors, "key without a tensor", "keys without a tensor");
        count_clause(&t->text, w->errors, "error", "errors");
        count_clause(&t->text, w->missing, "missing key", "missing keys");
        count_clause(&t->text, w->unexpected, "unexpected key", "unexpected keys");
        if (t->text.length == 0)
            buf_text(&t->text, "it could not be told");
    }
    if (buf_check(&t->text, NULL) != OK) {
        buf_clear(&t->text); /* names too long to be told in a line */
        buf_text(&t->text, "another architecture");
    }
    TRY(arena_copy(t->q->arena, buf_slice_of(&t->text), &r->summary, err));
    buf_clear(&t->text);
    return OK;
}

static enum status
settle(const struct talk *t, const struct vec *list, struct text_list *ret_list, struct err *err)
{
    struct slice *texts = arena_alloc(t->q->arena, list->count, sizeof *texts);

    if (texts == NULL)
        return arena_fail(t->q->arena, err);
    if (list->count > 0)
        memcpy(texts, list->items, list->count * sizeof *texts);
    *ret_list = (struct text_list){.texts = texts, .count = list->count};
    return OK;
}

enum status
advise(const struct question *q, const struct inspection *in, const struct attempt *shown,
       struct report *r, struct err *err)
{
    CLEANUP(talk_done)
    struct talk t = {
        .q = q,
        .shown = shown,
        .r = r,
        .text = buf_with_cap(SENTENCE_BYTES),
        .warnings = vec_of(sizeof(struct slice), SIZE_MAX / 2),
        .advice = vec_of(sizeof(struct slice), SIZE_MAX / 2),
    };

    TRY(summarize(&t, err));
    TRY(warn(&t, err));
    TRY(warn_safety(&t, in, err));
    TRY(advise_remap(&t, err));
    TRY(advise_shapes(&t, err));
    TRY(advise_keys(&t, err));
    TRY(advise_verdict(&t, in, err));
    TRY(settle(&t, &t.warnings, &r->warnings, err));
    return settle(&t, &t.advice, &r->advice, err);
}
