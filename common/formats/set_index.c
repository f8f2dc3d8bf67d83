/*
 * JSON files of a set: the index of a sharded state dict,
 *
 *     {"metadata": {"total_size": 123}, "weight_map": {"tensor": "model-00001-of-00002.safetensors"}}
 *
 * as transformers, diffusers and huggingface_hub write it (hand-made ones have {"file": …} for a
 * name), and files of a known name, of which a few members are kept.
 */
#include "common/formats/set_private.h"

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/formats/set_name.h"

enum {
    KEPT_BYTES_MAX = 16 << 10, /* of one member's value */
};

static const struct {
    const char *name;
    const char *members[8];
} known[] = {
    {"config.json",
     {"model_type", "architectures", "torch_dtype", "dtype", "quantization_config", "_class_name",
      "transformers_version"}},
    {"adapter_config.json",
     {"peft_type", "task_type", "r", "lora_alpha", "target_modules", "base_model_name_or_path",
      "use_dora"}},
    {"trainer_state.json",
     {"epoch", "global_step", "best_metric", "best_model_checkpoint", "max_steps"}},
    {"generation_config.json", {"transformers_version"}},
    {"model_index.json", {"_class_name", "_diffusers_version"}},
    {"quantize_config.json", {"bits", "group_size", "quant_method", "desc_act"}},
};

/* ---- members of known files ---- */

/* Without the white space between its tokens. */
static void
write_compact(struct buf *out, struct slice json)
{
    bool is_text = false;

    for (size_t i = 0; i < json.length; i++) {
        char c = json.at[i];

        if (is_text && c == '\\' && i + 1 < json.length)
            buf_char(out, json.at[i++]);
        else if (c == '"')
            is_text = !is_text;
        if (is_text || (c != ' ' && c != '\n' && c != '\t' && c != '\r'))
            buf_char(out, json.at[i]);
    }
}

static bool
is_wanted(size_t row, struct slice key)
{
    for (size_t i = 0; i < ARRAY_LENGTH(known[row].members); i++) {
        if (known[row].members[i] != NULL && slice_is(key, known[row].members[i]))
            return true;
    }
    return false;
}

static enum status
keep_members(struct json *j, size_t row, struct buf *out, struct err *err)
{
    bool is_first = true;
    struct slice key, value;
    bool is_end;

    TRY(json_object(j, "the file", err));
    buf_char(out, '{');
    for (;;) {
        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            break;
        TRY(json_skip(j, &value, err));
        if (!is_wanted(row, key) || value.length > KEPT_BYTES_MAX)
            continue;
        buf_text(out, is_first ? "" : ",");
        is_first = false;
        json_quote(out, key);
        buf_char(out, ':');
        write_compact(out, value);
    }
    buf_char(out, '}');
    return json_finish(j, err);
}

static enum status
read_known(struct set *s, size_t file, size_t row, struct slice text, struct err *err)
{
    CLEANUP(json_done) struct json j = {0};
    CLEANUP(buf_done) struct buf out = buf_with_cap(16 * KEPT_BYTES_MAX);
    struct slice path = set_path(s, file), json;
    struct err why = {0};
    enum status status;

    json_open(&j, text, s->limits, &s->in->arena);
    status = keep_members(&j, row, &out, &why);
    if (status == ERR_NO_MEMORY || buf_check(&out, NULL) != OK) {
        err_copy(err, &why);
        return buf_check(&out, err) != OK ? out.failed : status;
    }
    s->is_taken[file] = true;
    if (status != OK)
        return set_note(s, FINDING_FILE_OTHER, path, err, "a JSON text that cannot be read: %s",
                        why.text);
    TRY(arena_copy(&s->in->arena, buf_slice_of(&out), &json, err));
    return set_add_remark(s, path, json, err);
}

/* ---- the index ---- */

struct index {
    struct set *s;
    struct set_join *join;
    struct slice folder;
    struct map shards; /* by the name that the index gives them */
};

static void
index_done(struct index *x)
{
    map_done(&x->shards);
}

static enum status
add_shard(struct index *x, struct slice name, uint32_t *ret_shard, struct err *err)
{
    struct set_join *join = x->join;
    struct set_shard *shard;

    TRY(map_add(&x->shards, name, (uint32_t)join->shards.count, ret_shard, err));
    if (*ret_shard != MAP_NONE)
        return OK;
    *ret_shard = (uint32_t)join->shards.count;
    TRY(vec_add(&join->shards, &shard, "shards", err));
    *shard = (struct set_shard){.path = name, .file = SIZE_MAX, .number = *ret_shard + 1};
    shard->is_refused = !set_name_is_plain(name);
    if (shard->is_refused)
        return OK;
    TRY(arena_printf(&x->s->in->arena, &shard->path, err, "%.*s%.*s", SLICE_PRINT(x->folder),
                     SLICE_PRINT(name)));
    shard->file = set_find(x->s, shard->path);
    return OK;
}

/* The shard's name: a text, or an object's member "file" (or "filename"). */
static enum status
read_name(struct json *j, struct slice *ret_name, struct err *err)
{
    struct json_token t;
    struct slice key;
    bool is_end;

    *ret_name = (struct slice){0};
    TRY(json_peek(j, &t, err));
    if (t.kind == JSON_STRING)
        return json_string(j, "a shard's name", ret_name, err);
    if (t.kind != JSON_OBJECT)
        return json_skip(j, NULL, err);
    TRY(json_object(j, "a shard", err));
    for (;;) {
        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            return OK;
        TRY(json_peek(j, &t, err));
        if (t.kind == JSON_STRING && (slice_is(key, "file") || slice_is(key, "filename")))
            TRY(json_string(j, "a shard's name", ret_name, err));
        else
            TRY(json_skip(j, NULL, err));
    }
}

static enum status
read_map(struct index *x, struct json *j, struct err *err)
{
    struct slice tensor, name;
    struct set_row *row;
    uint32_t old;
    bool is_end;

    TRY(json_object(j, "weight_map", err));
    for (;;) {
        TRY(json_key(j, &tensor, &is_end, err));
        if (is_end)
            return OK;
        TRY(read_name(j, &name, err));
        if (name.length == 0) {
            TRY(set_note(x->s, FINDING_SHARD_INDEX, tensor, err,
                         "the index gives no file's name for it"));
            continue;
        }
        TRY(map_add(&x->join->by_name, tensor, (uint32_t)x->join->rows.count, &old, err));
        TRY(vec_add(&x->join->rows, &row, "tensors", err));
        row->name = tensor;
        TRY(add_shard(x, name, &row->shard, err));
    }
}

/* Anything may stand in it; only an integer total_size is of use. */
static enum status
read_total(struct index *x, struct json *j, struct err *err)
{
    struct json_token t;
    struct slice key, raw;
    bool is_end;

    TRY(json_peek(j, &t, err));
    if (t.kind != JSON_OBJECT)
        return json_skip(j, NULL, err);
    TRY(json_object(j, "metadata", err));
    for (;;) {
        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            return OK;
        TRY(json_skip(j, &raw, err));
        if (slice_is(key, "total_size"))
            x->join->has_total_size = num_parse_u64(raw, &x->join->total_size);
    }
}

static enum status
read_index(struct index *x, struct json *j, bool *ret_has_map, struct err *err)
{
    struct json_token t;
    struct slice key;
    bool is_end;

    *ret_has_map = false;
    TRY(json_object(j, "the index", err));
    for (;;) {
        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            return json_finish(j, err);
        TRY(json_peek(j, &t, err));
        if (slice_is(key, "weight_map") && t.kind == JSON_OBJECT) {
            *ret_has_map = true;
            TRY(read_map(x, j, err));
        } else if (slice_is(key, "metadata"))
            TRY(read_total(x, j, err));
        else
            TRY(json_skip(j, NULL, err));
    }
}

/* "a/model.safetensors.index.json" stands for a/model.safetensors. */
static struct slice
name_of_index(struct slice path)
{
    const struct slice suffix = slice_of(".index.json");

    if (slice_ends(path, suffix) && path.length > suffix.length)
        path.length -= suffix.length;
    return path;
}

/* None of its shards is here: the names alone say too little to be a checkpoint. */
static enum status
tell_alone(struct set *s, const struct set_join *join, struct err *err)
{
    const struct set_shard *first = join->shards.items;

    err_set(&s->first, ERR_UNRECOGNIZED, 0,
            "it is the index of a sharded checkpoint, %zu tensors in %zu files (%.*s …), none of "
            "which is here: upload them with it",
            join->rows.count, join->shards.count, SLICE_PRINT(first->path));
    return set_note(s, FINDING_FRAGMENT_MISSING, join->index_path, err, "%s", s->first.text);
}

static enum status
join_index(struct set *s, struct set_join *join, struct err *err)
{
    bool any = false;

    for (size_t i = 0; i < join->shards.count; i++) {
        struct set_shard *shard = &VEC_AT(&join->shards, struct set_shard, i);

        if (shard->is_refused) {
            set_at_least(s, SAFETY_MALFORMED);
            TRY(set_note(s, FINDING_SHARD_INDEX, shard->path, err,
                         "the index names a file outside its own folder, or none that can be one; "
                         "it was not opened"));
        }
        if (shard->file == SIZE_MAX)
            continue;
        any = true;
        s->is_taken[shard->file] = true;
    }
    return any ? set_join_read(s, join, err) : tell_alone(s, join, err);
}

static enum status
read_shards(struct set *s, size_t file, struct slice text, struct err *err)
{
    CLEANUP(set_join_done) struct set_join join = {0};
    CLEANUP(index_done) struct index x = {.s = s, .join = &join};
    CLEANUP(json_done) struct json j = {0};
    struct err why = {0};
    enum status status;
    bool has_map;

    TRY(set_join_begin(s, &join, err));
    join.index_path = set_path(s, file);
    join.name = name_of_index(join.index_path);
    x.folder = set_name_folder(join.index_path);
    json_open(&j, text, s->limits, &s->in->arena);
    status = read_index(&x, &j, &has_map, &why);
    if (status != OK && status != ERR_BAD_JSON) {
        err_copy(err, &why);
        return status;
    }
    if (status != OK) {
        set_at_least(s, SAFETY_MALFORMED);
        return set_note(s, FINDING_SHARD_INDEX, join.index_path, err,
                        "it looks like an index, but cannot be read: %s", why.text);
    }
    if (!has_map || join.shards.count == 0)
        return OK;
    s->is_taken[file] = true;
    return join_index(s, &join, err);
}

/* ---- what a file is ---- */

static bool
contains(struct slice text, const char *word)
{
    struct slice wanted = slice_of(word);

    while (text.length >= wanted.length) {
        const char *found = memchr(text.at, wanted.at[0], text.length - wanted.length + 1);

        if (found == NULL)
            return false;
        text = slice_from(text, (size_t)(found - text.at));
        if (slice_starts(text, wanted))
            return true;
        text = slice_from(text, 1);
    }
    return false;
}

/* A brace, and what may follow one. */
static bool
begins_object(const char *head, size_t length)
{
    size_t i = 0;

    while (i < length && (head[i] == ' ' || head[i] == '\n' || head[i] == '\r' || head[i] == '\t'))
        i++;
    return i + 1 < length && head[i] == '{' && strchr("\" \n\r\t}", head[i + 1]) != NULL &&
           head[i + 1] != '\0';
}

static size_t
known_row(struct slice base)
{
    size_t row = 0;

    while (row < ARRAY_LENGTH(known) && !slice_is(base, known[row].name))
        row++;
    return row;
}

enum status
set_read_json(struct set *s, size_t file, struct err *err)
{
    CLEANUP(mem_free_at) char *text = NULL;
    struct source source;
    struct slice whole;
    char head[16];
    size_t length, row;

    TRY(s->files->open(s->files->context, file, &source, err));
    length = source.size_bytes < sizeof head ? (size_t)source.size_bytes : sizeof head;
    TRY(source_read(&source, 0, head, length, err));
    if (!begins_object(head, length) || source.size_bytes > s->limits->header_bytes)
        return OK;
    text = mem_new((size_t)source.size_bytes + 1, 1);
    FAIL_IF(text == NULL, err, NO_MEMORY, 0, "out of memory");
    TRY(source_read(&source, 0, text, (size_t)source.size_bytes, err));
    /* Names of tensors and shards outlive the text. */
    whole = (struct slice){text, (size_t)source.size_bytes};
    row = known_row(set_name_base(set_path(s, file)));
    if (row < ARRAY_LENGTH(known) && s->files->count > 1)
        return read_known(s, file, row, whole, err);
    if (!contains(whole, "\"weight_map\""))
        return OK;
    TRY(arena_copy(&s->in->arena, whole, &whole, err));
    return read_shards(s, file, whole, err);
}
