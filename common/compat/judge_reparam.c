/*
 * The load hooks of torch's reparametrizations: torch.nn.utils.parametrizations.weight_norm, which
 * takes what the older weight_norm saved, and the older spectral_norm, which upgrades what it saved
 * before it had versions. (The newer spectral_norm and all other parametrizations have none.)
 */
#include "common/base/attr.h"
#include "common/base/num.h"
#include "common/compat/judge_work.h"

/* The key goes to path.parametrizations.name.original<number> instead. */
static enum status
move_to_original(struct hearing *h, struct slice path, struct slice name, const char *original,
                 uint32_t key, struct err *err)
{
    struct slice target = hearing_name(h, path, "parametrizations.", name, original);
    uint32_t tensor = hearing_tensor(h, target);

    if (tensor == UINT32_MAX) /* the hook outlived its parametrization */
        return hearing_add(h, &h->unexpected, target, err);
    h->filled_by[tensor] = key;
    return OK;
}

enum status
judge_weight_norm(struct hearing *h, struct slice path, struct slice name, struct err *err)
{
    uint32_t g = hearing_key(h, hearing_name(h, path, "", name, "_g"));
    uint32_t v = hearing_key(h, hearing_name(h, path, "", name, "_v"));

    if (g == UINT32_MAX || v == UINT32_MAX)
        return OK;
    hearing_take(h, g);
    hearing_take(h, v);
    TRY(move_to_original(h, path, name, ".original0", g, err));
    return move_to_original(h, path, name, ".original1", v, err);
}

/* What the hook needs of the file, by suffix. */
struct spectral_keys {
    uint32_t orig, weight, u, v;
};

static struct spectral_keys
find_spectral_keys(struct hearing *h, struct slice path, struct slice name)
{
    return (struct spectral_keys){
        .orig = hearing_key(h, hearing_name(h, path, "", name, "_orig")),
        .weight = hearing_key(h, hearing_name(h, path, "", name, "")),
        .u = hearing_key(h, hearing_name(h, path, "", name, "_u")),
        .v = hearing_key(h, hearing_name(h, path, "", name, "_v")),
    };
}

/* Of PyTorch's broadcasting: dimensions from the last on are equal, or one of them is 1. */
static bool
can_broadcast(struct shape a, struct shape b)
{
    for (uint32_t i = 1; i <= a.rank && i <= b.rank; i++) {
        uint64_t x = a.dims[a.rank - i], y = b.dims[b.rank - i];

        if (x != y && x != 1 && y != 1)
            return false;
    }
    return true;
}

static bool
is_float_matrix(const struct state_key *k)
{
    return k->is_tensor && k->layout == LAYOUT_STRIDED &&
           (k->dtype == DTYPE_FLOAT32 || k->dtype == DTYPE_FLOAT64);
}

/* Solving for v: false where that raises. The matrix is weight_orig with its rows in front. */
static bool
solve_v(const struct hearing *h, const struct spectral_keys *keys, uint32_t dim,
        uint64_t *ret_length)
{
    const struct state_key *orig = &h->s->keys[keys->orig], *weight = &h->s->keys[keys->weight];
    const struct state_key *u = &h->s->keys[keys->u];
    uint64_t rows;

    if (!is_float_matrix(orig) || !is_float_matrix(u) || orig->dtype != u->dtype)
        return false;
    if (!weight->is_tensor || weight->layout != LAYOUT_STRIDED ||
        !can_broadcast(orig->shape, weight->shape))
        return false;
    if (dim >= orig->shape.rank || orig->elements == 0)
        return false;
    rows = orig->shape.dims[dim];
    if (u->shape.rank != 1 || u->shape.dims[0] != rows)
        return false;
    *ret_length = orig->elements / rows;
    return true;
}

/* The file is older than version 1: weight is what it was trained to, and v is solved for. */
static enum status
upgrade_spectral(struct hearing *h, struct slice path, const struct spectral_norm *norm,
                 const struct spectral_keys *keys, struct err *err)
{
    struct slice name = hearing_name(h, path, "", norm->name, "_v");
    uint32_t tensor = hearing_tensor(h, name);
    const struct expected *e;
    uint64_t length;

    hearing_take(h, keys->weight);
    if (!solve_v(h, keys, norm->dim, &length))
        return hearing_say(h, &h->errors, err,
                           "spectral_norm cannot make \"%.*s\" of this older file's weight and u: "
                           "both modes raise",
                           SLICE_PRINT(name));
    if (tensor == UINT32_MAX)
        return keys->v == UINT32_MAX ? hearing_add(h, &h->unexpected, name, err) : OK;
    e = &h->m->tensors[tensor];
    h->filled_by[tensor] = FILLED_BY_ITSELF;
    if (!e->has_shape || (e->shape.rank == 1 &&
                          (e->shape.dims[0] == MANIFEST_ANY_DIM || e->shape.dims[0] == length)))
        return OK;
    h->filled_by[tensor] = FILLED_WRONGLY;
    return hearing_say(
        h, &h->errors, err,
        "size mismatch for \"%.*s\": what spectral_norm makes of this older file has %llu "
        "elements",
        SLICE_PRINT(name), (unsigned long long)length);
}

enum status
judge_spectral_norm(struct hearing *h, struct slice path, const struct spectral_norm *norm,
                    struct err *err)
{
    struct spectral_keys keys = find_spectral_keys(h, path, norm->name);
    CLEANUP(buf_done) struct buf row = buf_with_cap(SIZE_MAX / 2);
    bool has_version, is_whole;
    int64_t version = 0;

    buf_slice(&row, path);
    buf_text(&row, ":spectral_norm.");
    buf_slice(&row, norm->name);
    TRY(buf_check(&row, err));
    has_version = hearing_version(h, buf_slice_of(&row), &version);
    if (has_version && version >= 1)
        return OK;

    /* As today's modules save it, only the versions are lost. */
    is_whole = keys.orig != UINT32_MAX && keys.u != UINT32_MAX && keys.v != UINT32_MAX;
    if (!has_version && is_whole && keys.weight == UINT32_MAX)
        return OK;
    if (keys.weight == UINT32_MAX)
        TRY(hearing_add(h, &h->missing, hearing_name(h, path, "", norm->name, ""), err));
    if (keys.weight == UINT32_MAX || keys.orig == UINT32_MAX || keys.u == UINT32_MAX)
        return OK;
    return upgrade_spectral(h, path, norm, &keys, err);
}
