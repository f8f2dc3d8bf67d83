/* What is in a version: GET …/versions/{ref}/tensors and …/findings. */
#include "common/base/attr.h"
#include "common/base/natural.h"
#include "common/base/num.h"
#include "common/render/inspection_json.h"
#include "server/api/api.h"
#include "server/api/version_json.h"

enum {
    REPLY_BYTES_MAX = 1 << 30,
    TENSORS_DEFAULT = 50,
    TENSORS_MAX = 1000,
    CURSOR_KIND = 't',
};

/* The version's inspection, which must be there. */
static enum status
need_loaded(const struct request *r, bool must_be_ready, struct cache_item **ret_item,
            struct err *err)
{
    struct version v;

    TRY(version_of_request(r, &v, err));
    return version_need_loaded(r->app, &v, must_be_ready, ret_item, err);
}

/* ---- as a list, in natural order ---- */

/* Where in the order the tensors after the cursor's begin. */
static enum status
first_rank(const struct request *r, const struct structure *s, const uint32_t *order,
           size_t *ret_rank, struct err *err)
{
    struct slice cursor = request_query(r, "cursor"), after;
    size_t low = 0, high = s->count;
    int64_t number;

    *ret_rank = 0;
    if (cursor.length == 0)
        return OK;
    TRY(page_parse(CURSOR_KIND, cursor, r->arena, &after, &number, err));
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (natural_compare(s->tensors[order[middle]].name, after) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_rank = low;
    return OK;
}

static enum status
write_list(const struct request *r, const struct loaded *loaded, size_t container,
           struct json_writer *w, struct reply *reply, struct err *err)
{
    const struct container *c = &loaded->in.containers[container];
    const uint32_t *order = loaded->orders[container];
    struct slice next = {0};
    uint64_t limit;
    size_t rank, end;

    TRY(request_query_u64(r, "limit", TENSORS_DEFAULT, 1, TENSORS_MAX, &limit, err));
    TRY(first_rank(r, &c->structure, order, &rank, err));
    end = c->structure.count - rank > limit ? rank + (size_t)limit : c->structure.count;
    jw_key(w, "tensors");
    jw_array(w);
    for (; rank < end; rank++)
        inspection_json_tensor(w, c, order[rank]);
    jw_array_end(w);
    if (end > 0 && end < c->structure.count)
        TRY(page_cursor(CURSOR_KIND, c->structure.tensors[order[end - 1]].name, 0, r->arena, &next,
                        err));
    json_next_page(r, w, next, reply);
    return OK;
}

/* ---- as a tree: the children of one module ---- */

struct branch {
    struct slice name; /* whole path */
    uint64_t tensors;
    uint64_t elements;
    uint64_t bytes;
    size_t only; /* the tensor itself, where the child is one */
    bool is_tensor;
};

static void
write_branch(struct json_writer *w, const struct container *c, const struct branch *b)
{
    jw_object(w);
    jw_pair_slice(w, "name", b->name);
    jw_pair_u64(w, "tensors", b->tensors);
    jw_pair_u64(w, "elements", b->elements);
    jw_pair_u64(w, "bytes", b->bytes);
    jw_key(w, "tensor");
    if (b->is_tensor)
        inspection_json_tensor(w, c, b->only);
    else
        jw_null(w);
    jw_object_end(w);
}

static void
add_to(uint64_t *sum, uint64_t more)
{
    if (!num_add(*sum, more, sum))
        *sum = UINT64_MAX;
}

/* Names are sorted, so a child's tensors stand together. */
static void
write_tree(const struct request *r, const struct container *c, struct json_writer *w)
{
    struct slice prefix = request_query(r, "prefix");
    size_t start = prefix.length > 0 ? prefix.length + 1 : 0;
    struct branch b = {0};

    jw_key(w, "children");
    jw_array(w);
    for (size_t i = 0; i < c->structure.count; i++) {
        const struct tensor *t = &c->structure.tensors[i];
        struct slice rest, segment;
        bool is_leaf;

        if (start > 0 && (t->name.length <= prefix.length || !slice_starts(t->name, prefix) ||
                          t->name.at[prefix.length] != '.'))
            continue;
        rest = slice_from(t->name, start);
        segment = slice_cut(&rest, '.');
        is_leaf = rest.at == NULL;
        segment = slice_part(t->name, 0, start + segment.length);
        if (b.tensors > 0 && (is_leaf || b.is_tensor || !slice_equal(b.name, segment))) {
            write_branch(w, c, &b);
            b = (struct branch){0};
        }
        b.name = segment;
        b.is_tensor = is_leaf;
        b.only = i;
        b.tensors++;
        add_to(&b.elements, t->elements);
        add_to(&b.bytes, t->bytes);
    }
    if (b.tensors > 0)
        write_branch(w, c, &b);
    jw_array_end(w);
    jw_object_end(w);
}

enum status
versions_tensors(const struct request *r, struct reply *ret_reply, struct err *err)
{
    static const char *const views[] = {"list", "tree", NULL};
    CLEANUP(loaded_release) struct cache_item *item = NULL;
    CLEANUP(buf_done) struct buf out = buf_with_cap(REPLY_BYTES_MAX);
    struct json_writer w = json_writer_to(&out, 0);
    const struct loaded *loaded;
    const struct container *c;
    size_t view, index;

    TRY(request_query_choice(r, "view", views, 0, &view, err));
    TRY(need_loaded(r, true, &item, err));
    loaded = cache_value(item);
    TRY(loaded_container(loaded, request_query(r, "container"), &index, err));
    c = &loaded->in.containers[index];
    jw_object(&w);
    jw_pair_slice(&w, "container", c->path);
    if (view == 1)
        write_tree(r, c, &w);
    else
        TRY(write_list(r, loaded, index, &w, ret_reply, err));
    reply_json(ret_reply, 200, &out);
    return OK;
}

enum status
versions_findings(const struct request *r, struct reply *ret_reply, struct err *err)
{
    CLEANUP(loaded_release) struct cache_item *item = NULL;
    CLEANUP(buf_done) struct buf out = buf_with_cap(REPLY_BYTES_MAX);
    struct json_writer w = json_writer_to(&out, 0);
    const struct loaded *loaded;

    TRY(need_loaded(r, false, &item, err));
    loaded = cache_value(item);
    jw_object(&w);
    inspection_json_safety(&w, &loaded->in);
    jw_object_end(&w);
    reply_json(ret_reply, 200, &out);
    return OK;
}
