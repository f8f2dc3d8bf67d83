/*
 * A manifest without "modules" names no classes. What hangs on a class is then guessed from the names
 * that its tensors have, as torch's own modules name them, and every guess that decided something is
 * told in a warning that begins with "Guessed".
 */
#include "common/compat/judge_work.h"

/* What was guessed, by rule. */
struct guesses {
    struct tally batches_tracked;
    struct tally no_counter;
    struct tally weight_norm;
    struct tally spectral_norm;
    struct tally instance_norm;
};

/* "a.b.c" is path "a.b" and leaf "c". */
static struct slice
split_leaf(struct slice name, struct slice *ret_path)
{
    size_t at = name.length;

    while (at > 0 && name.at[at - 1] != '.')
        at--;
    *ret_path = at == 0 ? (struct slice){0} : slice_part(name, 0, at - 1);
    return slice_from(name, at);
}

static bool
expects(struct hearing *h, struct slice path, const char *before, struct slice member,
        const char *after)
{
    return hearing_tensor(h, hearing_name(h, path, before, member, after)) != UINT32_MAX;
}

static const struct slice nothing = {0};

/* num_batches_tracked beside running statistics: a BatchNorm, which fills it by itself where the file
 * is without versions, or older than version 2. */
static void
guess_batches_tracked(struct hearing *h, uint32_t tensor, struct tally *tally)
{
    struct slice name = h->m->tensors[tensor].name, path, leaf = split_leaf(name, &path);
    int64_t version;

    if (h->filled_by[tensor] != FILLED_BY_NONE || !slice_is(leaf, "num_batches_tracked"))
        return;
    if (hearing_version(h, path, &version) && version >= 2)
        return;
    if (!expects(h, path, "running_mean", nothing, ""))
        return;
    h->filled_by[tensor] = FILLED_BY_ITSELF;
    tally_add(tally, name);
}

/* Running statistics without num_batches_tracked on either side: a FrozenBatchNorm2d or the like. A
 * BatchNorm whose counter was set to None would trip over the one that it puts in itself. */
static void
guess_no_counter(struct hearing *h, uint32_t tensor, struct tally *tally)
{
    struct slice name = h->m->tensors[tensor].name, path, leaf = split_leaf(name, &path);
    int64_t version;

    if (!slice_is(leaf, "running_mean") || (hearing_version(h, path, &version) && version >= 2))
        return;
    if (!expects(h, path, "num_batches_tracked", nothing, "") &&
        hearing_key(h, hearing_name(h, path, "num_batches_tracked", nothing, "")) == UINT32_MAX)
        tally_add(tally, name);
}

/* parametrizations.weight.original0 and original1, and no third: weight_norm, which takes weight_g and
 * weight_v. */
static enum status
guess_weight_norm(struct hearing *h, uint32_t tensor, struct tally *tally, struct err *err)
{
    struct slice name = h->m->tensors[tensor].name, list, parameter, path;
    size_t unexpected = h->unexpected.count;

    if (!slice_is(split_leaf(name, &list), "original0"))
        return OK;
    parameter = split_leaf(list, &list);
    if (!slice_is(split_leaf(list, &path), "parametrizations"))
        return OK;
    if (!expects(h, path, "parametrizations.", parameter, ".original1") ||
        expects(h, path, "parametrizations.", parameter, ".original2"))
        return OK;
    if (hearing_key(h, hearing_name(h, path, "", parameter, "_g")) == UINT32_MAX ||
        hearing_key(h, hearing_name(h, path, "", parameter, "_v")) == UINT32_MAX)
        return OK;
    TRY(judge_weight_norm(h, path, parameter, err));
    h->unexpected.count = unexpected;
    tally_add(tally, name);
    return OK;
}

/* The dimension whose size u has, where v has the product of the others. */
static bool
find_rows(const struct expected *orig, const struct expected *u, const struct expected *v,
          uint32_t *ret_dim)
{
    uint64_t elements;

    if (!orig->has_shape || !u->has_shape || !v->has_shape || u->shape.rank != 1 ||
        v->shape.rank != 1 || !shape_elements(orig->shape, &elements))
        return false;
    for (uint32_t i = 0; i < orig->shape.rank; i++)
        if (orig->shape.dims[i] == u->shape.dims[0] && orig->shape.dims[i] > 0 &&
            elements / orig->shape.dims[i] == v->shape.dims[0]) {
            *ret_dim = i;
            return true;
        }
    return false;
}

/* weight_orig, weight_u and weight_v, and a file that holds weight besides: the older spectral_norm,
 * which upgrades files from before it had versions. */
static enum status
guess_spectral_norm(struct hearing *h, uint32_t tensor, struct tally *tally, struct err *err)
{
    static const char suffix[] = "_orig";
    struct slice name = h->m->tensors[tensor].name, path, leaf = split_leaf(name, &path);
    struct spectral_norm norm = {0};
    uint32_t u, v;

    if (!slice_ends(leaf, slice_of(suffix)))
        return OK;
    norm.name = slice_part(leaf, 0, leaf.length - (sizeof suffix - 1));
    u = hearing_tensor(h, hearing_name(h, path, "", norm.name, "_u"));
    v = hearing_tensor(h, hearing_name(h, path, "", norm.name, "_v"));
    if (u == UINT32_MAX || v == UINT32_MAX ||
        hearing_key(h, hearing_name(h, path, "", norm.name, "")) == UINT32_MAX)
        return OK;
    if (!find_rows(&h->m->tensors[tensor], &h->m->tensors[u], &h->m->tensors[v], &norm.dim))
        return OK;
    tally_add(tally, name);
    return judge_spectral_norm(h, path, &norm, err);
}

/* Running statistics that nobody expects, in a file without versions: were the module an InstanceNorm
 * that keeps none, strict=False would raise as well. */
static void
guess_instance_norm(struct hearing *h, uint32_t key, struct tally *tally)
{
    struct slice name = h->s->keys[key].name, path, leaf = split_leaf(name, &path);
    int64_t version;

    if (h->is_used[key] || (!slice_is(leaf, "running_mean") && !slice_is(leaf, "running_var")))
        return;
    if (!hearing_version(h, path, &version) && !expects(h, path, "running_mean", nothing, "") &&
        !expects(h, path, "running_var", nothing, ""))
        tally_add(tally, name);
}

static enum status
tell(struct hearing *h, const struct guesses *guesses, struct err *err)
{
    const struct {
        const struct tally *tally;
        const char *guess;
    } rows[] = {
        {&guesses->batches_tracked,
         "is taken to be a BatchNorm's, which fills it by itself when the file has no versions or "
         "older ones"},
        {&guesses->no_counter,
         "is taken to belong to a module that never counts batches, such as a FrozenBatchNorm2d"},
        {&guesses->weight_norm,
         "is taken to be torch's weight_norm, which accepts the older weight_g and weight_v"},
        {&guesses->spectral_norm,
         "is taken to be torch.nn.utils.spectral_norm's, which upgrades older files"},
        {&guesses->instance_norm,
         "is taken to be merely unexpected; were it an InstanceNorm's without running statistics, "
         "strict=False would raise as well"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct tally *tally = rows[i].tally;

        if (tally->count == 1)
            TRY(hearing_say(h, &h->warnings, err, "Guessed, for want of \"modules\": \"%.*s\" %s.",
                            SLICE_PRINT(tally->first), rows[i].guess));
        else if (tally->count > 1)
            TRY(hearing_say(h, &h->warnings, err,
                            "Guessed, for want of \"modules\": \"%.*s\", like %zu more, %s.",
                            SLICE_PRINT(tally->first), tally->count - 1, rows[i].guess));
    }
    return OK;
}

enum status
judge_by_guess(struct hearing *h, struct err *err)
{
    struct guesses guesses = {0};

    for (uint32_t t = 0; t < h->m->count; t++) {
        guess_batches_tracked(h, t, &guesses.batches_tracked);
        guess_no_counter(h, t, &guesses.no_counter);
        TRY(guess_weight_norm(h, t, &guesses.weight_norm, err));
        TRY(guess_spectral_norm(h, t, &guesses.spectral_norm, err));
    }
    for (uint32_t k = 0; k < h->s->count; k++)
        guess_instance_norm(h, k, &guesses.instance_norm);
    return tell(h, &guesses, err);
}
