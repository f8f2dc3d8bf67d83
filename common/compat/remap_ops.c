#include "common/compat/remap_ops.h"

#include "common/base/num.h"

static enum status
check_all(const struct remap_rule *rule, int64_t least, const char *what, struct err *err)
{
    for (size_t i = 0; i < rule->number_count; i++)
        FAIL_IF(rule->numbers[i] < least, err, BAD_REMAP, 0, "the rule for \"%.*s\" has %s of %lld",
                SLICE_PRINT(rule->from[0].text), what, (long long)rule->numbers[i]);
    return OK;
}

static enum status
check_reshape(const struct remap_rule *rule, struct err *err)
{
    size_t open = 0;

    TRY(check_all(rule, -1, "a dimension", err));
    for (size_t i = 0; i < rule->number_count; i++)
        open += rule->numbers[i] == -1;
    FAIL_IF(open > 1, err, BAD_REMAP, 0, "the rule for \"%.*s\" leaves two dimensions open",
            SLICE_PRINT(rule->from[0].text));
    return OK;
}

enum status
remap_ops_check(const struct remap_rule *rule, struct err *err)
{
    FAIL_IF(rule->number_count > TENSOR_RANK_MAX && rule->op != REMAP_OP_SPLIT, err, BAD_REMAP, 0,
            "the rule for \"%.*s\" has more than %d numbers", SLICE_PRINT(rule->from[0].text),
            TENSOR_RANK_MAX);
    if (rule->op == REMAP_OP_SPLIT)
        return check_all(rule, 1, "a size", err);
    if (rule->op == REMAP_OP_RESHAPE)
        return check_reshape(rule, err);
    FAIL_IF(rule->op == REMAP_OP_SLICE && (rule->start < 0 || rule->end <= rule->start), err,
            BAD_REMAP, 0, "the rule for \"%.*s\" slices from %lld to %lld",
            SLICE_PRINT(rule->from[0].text), (long long)rule->start, (long long)rule->end);
    return OK;
}

/* A dim as written, counted from the front. Where a dim is added, it may stand one further. */
static enum status
resolve_dim(const struct remap_rule *rule, const struct state_key *key, int64_t dim, uint32_t rank,
            uint32_t *ret_dim, struct err *err)
{
    int64_t resolved = dim < 0 ? dim + (int64_t)rank : dim;

    FAIL_IF(resolved < 0 || resolved >= (int64_t)rank, err, BAD_REMAP, 0,
            "%s: dim %lld is not one of the %u of \"%.*s\"", remap_op_name(rule->op),
            (long long)dim, (unsigned)rank, SLICE_PRINT(key->name));
    *ret_dim = (uint32_t)resolved;
    return OK;
}

/* A changed shape, into the arena, and its element count. */
static enum status
set_shape(struct state_key *key, const uint64_t *dims, uint32_t rank, struct arena *arena,
          struct err *err)
{
    uint64_t *copy = arena_alloc(arena, rank, sizeof *copy);

    if (copy == NULL)
        return arena_fail(arena, err);
    if (rank > 0)
        memcpy(copy, dims, rank * sizeof *copy);
    key->shape = (struct shape){.rank = rank, .dims = copy};
    FAIL_IF(!shape_elements(key->shape, &key->elements), err, BAD_REMAP, 0,
            "what becomes of \"%.*s\" has too many elements", SLICE_PRINT(key->name));
    return OK;
}

static enum status
require_tensor(const struct remap_rule *rule, const struct state_key *key, struct err *err)
{
    FAIL_IF(!key->is_tensor, err, BAD_REMAP, 0, "%s: \"%.*s\" is no tensor",
            remap_op_name(rule->op), SLICE_PRINT(key->name));
    return OK;
}

static enum status
split(const struct remap_rule *rule, const struct state_key *key, size_t part, uint64_t *dims,
      struct err *err)
{
    uint32_t dim = 0;
    uint64_t sum = 0, whole;

    TRY(resolve_dim(rule, key, rule->dim, key->shape.rank, &dim, err));
    whole = dims[dim];
    if (rule->number_count == 0) {
        FAIL_IF(whole % rule->to_count != 0, err, BAD_REMAP, 0,
                "split: %llu of \"%.*s\" is not divisible by %zu", (unsigned long long)whole,
                SLICE_PRINT(key->name), rule->to_count);
        dims[dim] = whole / rule->to_count;
        return OK;
    }
    for (size_t i = 0; i < rule->number_count; i++)
        FAIL_IF(__builtin_add_overflow(sum, (uint64_t)rule->numbers[i], &sum), err, BAD_REMAP, 0,
                "split: the sizes overflow");
    FAIL_IF(sum != whole, err, BAD_REMAP, 0,
            "split: the sizes sum to %llu, but \"%.*s\" has %llu there", (unsigned long long)sum,
            SLICE_PRINT(key->name), (unsigned long long)whole);
    dims[dim] = (uint64_t)rule->numbers[part];
    return OK;
}

static enum status
remove_dim(const struct remap_rule *rule, const struct state_key *key, uint64_t *dims,
           uint32_t *rank, struct err *err)
{
    uint32_t dim = 0;

    TRY(resolve_dim(rule, key, rule->dim, *rank, &dim, err));
    for (uint32_t i = dim; i + 1 < *rank; i++)
        dims[i] = dims[i + 1];
    (*rank)--;
    return OK;
}

static enum status
permute(const struct remap_rule *rule, const struct state_key *key, uint64_t *dims, struct err *err)
{
    uint64_t seen = 0;

    FAIL_IF(rule->number_count != key->shape.rank, err, BAD_REMAP, 0,
            "permute: \"%.*s\" has %u dims, not %zu", SLICE_PRINT(key->name),
            (unsigned)key->shape.rank, rule->number_count);
    for (size_t i = 0; i < rule->number_count; i++) {
        uint32_t dim = 0;

        TRY(resolve_dim(rule, key, rule->numbers[i], key->shape.rank, &dim, err));
        FAIL_IF((seen & UINT64_C(1) << dim) != 0, err, BAD_REMAP, 0, "permute: dim %u stands twice",
                (unsigned)dim);
        seen |= UINT64_C(1) << dim;
        dims[i] = key->shape.dims[dim];
    }
    return OK;
}

static enum status
reshape(const struct remap_rule *rule, const struct state_key *key, uint64_t *dims, uint32_t *rank,
        struct err *err)
{
    uint64_t known = 1, open = UINT64_MAX;

    *rank = (uint32_t)rule->number_count;
    for (uint32_t i = 0; i < *rank; i++) {
        dims[i] = rule->numbers[i] == -1 ? 1 : (uint64_t)rule->numbers[i];
        if (rule->numbers[i] == -1)
            open = i;
        FAIL_IF(__builtin_mul_overflow(known, dims[i], &known), err, BAD_REMAP, 0,
                "reshape: the shape overflows");
    }
    if (open != UINT64_MAX && known != 0 && key->elements % known == 0) {
        dims[open] = key->elements / known;
        return OK;
    }
    FAIL_IF(open != UINT64_MAX || known != key->elements, err, BAD_REMAP, 0,
            "reshape: \"%.*s\" has %llu elements, which do not fit the shape",
            SLICE_PRINT(key->name), (unsigned long long)key->elements);
    return OK;
}

/* The dims that (un)squeeze names, as a bit set over the rank that they count in. */
static enum status
dim_set(const struct remap_rule *rule, const struct state_key *key, uint32_t rank,
        uint64_t *ret_set, struct err *err)
{
    *ret_set = 0;
    for (size_t i = 0; i < rule->number_count; i++) {
        uint32_t dim = 0;

        TRY(resolve_dim(rule, key, rule->numbers[i], rank, &dim, err));
        FAIL_IF((*ret_set & UINT64_C(1) << dim) != 0, err, BAD_REMAP, 0, "%s: dim %u stands twice",
                remap_op_name(rule->op), (unsigned)dim);
        *ret_set |= UINT64_C(1) << dim;
    }
    return OK;
}

static enum status
squeeze(const struct remap_rule *rule, const struct state_key *key, uint64_t *dims, uint32_t *rank,
        struct err *err)
{
    uint64_t set;

    TRY(dim_set(rule, key, key->shape.rank, &set, err));
    *rank = 0;
    for (uint32_t i = 0; i < key->shape.rank; i++) {
        bool goes = (set & UINT64_C(1) << i) != 0;

        FAIL_IF(goes && key->shape.dims[i] != 1, err, BAD_REMAP, 0,
                "squeeze: dim %u of \"%.*s\" is %llu, not 1", (unsigned)i, SLICE_PRINT(key->name),
                (unsigned long long)key->shape.dims[i]);
        if (!goes)
            dims[(*rank)++] = key->shape.dims[i];
    }
    return OK;
}

static enum status
unsqueeze(const struct remap_rule *rule, const struct state_key *key, uint64_t *dims,
          uint32_t *rank, struct err *err)
{
    uint64_t set;
    uint32_t from = 0;

    FAIL_IF(rule->number_count + key->shape.rank > TENSOR_RANK_MAX, err, BAD_REMAP, 0,
            "unsqueeze: \"%.*s\" would get more than %d dims", SLICE_PRINT(key->name),
            TENSOR_RANK_MAX);
    *rank = key->shape.rank + (uint32_t)rule->number_count;
    TRY(dim_set(rule, key, *rank, &set, err));
    for (uint32_t i = 0; i < *rank; i++)
        dims[i] = (set & UINT64_C(1) << i) != 0 ? 1 : key->shape.dims[from++];
    return OK;
}

static enum status
slice_dim(const struct remap_rule *rule, const struct state_key *key, uint64_t *dims,
          struct err *err)
{
    uint32_t dim = 0;

    TRY(resolve_dim(rule, key, rule->dim, key->shape.rank, &dim, err));
    FAIL_IF((uint64_t)rule->end > dims[dim], err, BAD_REMAP, 0,
            "slice: \"%.*s\" ends at %llu, before %lld", SLICE_PRINT(key->name),
            (unsigned long long)dims[dim], (long long)rule->end);
    dims[dim] = (uint64_t)(rule->end - rule->start);
    return OK;
}

enum status
remap_ops_one(const struct remap_rule *rule, const struct state_key *key, size_t part,
              struct arena *arena, struct state_key *ret_key, struct err *err)
{
    uint64_t dims[TENSOR_RANK_MAX] = {0};
    uint32_t rank = key->shape.rank;

    *ret_key = *key;
    if (rule->op == REMAP_OP_NONE || rule->op == REMAP_OP_COPY)
        return OK;
    TRY(require_tensor(rule, key, err));
    if (rank > 0)
        memcpy(dims, key->shape.dims, rank * sizeof *dims);
    switch (rule->op) {
    case REMAP_OP_SPLIT:
        TRY(split(rule, key, part, dims, err));
        break;
    case REMAP_OP_UNSTACK:
        TRY(remove_dim(rule, key, dims, &rank, err));
        break;
    case REMAP_OP_PERMUTE:
        TRY(permute(rule, key, dims, err));
        break;
    case REMAP_OP_RESHAPE:
        TRY(reshape(rule, key, dims, &rank, err));
        break;
    case REMAP_OP_SQUEEZE:
        TRY(squeeze(rule, key, dims, &rank, err));
        break;
    case REMAP_OP_UNSQUEEZE:
        TRY(unsqueeze(rule, key, dims, &rank, err));
        break;
    case REMAP_OP_SLICE:
        TRY(slice_dim(rule, key, dims, err));
        break;
    case REMAP_OP_NONE:
    case REMAP_OP_COPY:
    case REMAP_OP_CONCAT:
    case REMAP_OP_STACK:
    case REMAP_OP_COUNT:
        break;
    }
    return set_shape(ret_key, dims, rank, arena, err);
}

enum status
remap_ops_parts(const struct remap_rule *rule, const struct state_key *key, size_t *ret_parts,
                struct err *err)
{
    uint32_t dim = 0;

    *ret_parts = rule->to_count;
    if (rule->op != REMAP_OP_UNSTACK)
        return OK;
    TRY(require_tensor(rule, key, err));
    TRY(resolve_dim(rule, key, rule->dim, key->shape.rank, &dim, err));
    *ret_parts = (size_t)key->shape.dims[dim];
    return OK;
}

/* Operands of one op have one dtype, one rank, and the same size but for the dim they join at. */
static enum status
check_operand(const struct remap_rule *rule, const struct state_key *first,
              const struct state_key *other, uint32_t dim, struct err *err)
{
    TRY(require_tensor(rule, other, err));
    FAIL_IF(other->dtype != first->dtype, err, BAD_REMAP, 0,
            "%s: \"%.*s\" is %s, but \"%.*s\" is %s", remap_op_name(rule->op),
            SLICE_PRINT(first->name), dtype_name(first->dtype), SLICE_PRINT(other->name),
            dtype_name(other->dtype));
    for (uint32_t i = 0; i < first->shape.rank && other->shape.rank == first->shape.rank; i++) {
        if (rule->op == REMAP_OP_CONCAT && i == dim)
            continue;
        FAIL_IF(other->shape.dims[i] != first->shape.dims[i], err, BAD_REMAP, 0,
                "%s: \"%.*s\" and \"%.*s\" differ in dim %u", remap_op_name(rule->op),
                SLICE_PRINT(first->name), SLICE_PRINT(other->name), (unsigned)i);
    }
    FAIL_IF(other->shape.rank != first->shape.rank, err, BAD_REMAP, 0,
            "%s: \"%.*s\" and \"%.*s\" differ in rank", remap_op_name(rule->op),
            SLICE_PRINT(first->name), SLICE_PRINT(other->name));
    return OK;
}

enum status
remap_ops_many(const struct remap_rule *rule, const struct state_key *const *keys, size_t count,
               struct arena *arena, struct state_key *ret_key, struct err *err)
{
    uint64_t dims[TENSOR_RANK_MAX + 1] = {0};
    const struct state_key *first = keys[0];
    uint32_t rank = first->shape.rank, dim = 0;

    TRY(require_tensor(rule, first, err));
    *ret_key = *first;
    if (rule->op == REMAP_OP_STACK) {
        FAIL_IF(rank == TENSOR_RANK_MAX, err, BAD_REMAP, 0, "stack: more than %d dims",
                TENSOR_RANK_MAX);
        TRY(resolve_dim(rule, first, rule->dim, rank + 1, &dim, err));
        for (uint32_t i = 0; i <= rank; i++)
            dims[i] = i == dim ? count : first->shape.dims[i - (i > dim)];
        rank++;
    } else {
        TRY(resolve_dim(rule, first, rule->dim, rank, &dim, err));
        memcpy(dims, first->shape.dims, rank * sizeof *dims);
    }
    for (size_t i = 1; i < count; i++) {
        TRY(check_operand(rule, first, keys[i], dim, err));
        if (rule->op == REMAP_OP_CONCAT)
            FAIL_IF(!num_add(dims[dim], keys[i]->shape.dims[dim], &dims[dim]), err, BAD_REMAP, 0,
                    "concat: the sizes overflow");
    }
    return set_shape(ret_key, dims, rank, arena, err);
}

static void
write_numbers(struct buf *out, const struct remap_rule *rule)
{
    for (size_t i = 0; i < rule->number_count; i++)
        buf_printf(out, "%s%lld", i > 0 ? "," : "", (long long)rule->numbers[i]);
}

void
remap_ops_write(struct buf *out, const struct remap_rule *rule)
{
    unsigned args = remap_ops[rule->op].args;

    buf_text(out, remap_op_name(rule->op));
    if ((args & ARG_OVER) != 0)
        buf_printf(out, " over=%c", rule->over);
    if ((args & ARG_DIM) != 0)
        buf_printf(out, " dim=%lld", (long long)rule->dim);
    if ((args & ARG_START) != 0)
        buf_printf(out, " start=%lld end=%lld", (long long)rule->start, (long long)rule->end);
    for (const struct remap_arg_row *row = remap_args; row->name != NULL; row++) {
        if ((row->arg & args & (ARG_DIMS | ARG_SHAPE | ARG_SIZES | ARG_DIM_LIST)) == 0)
            continue;
        if (rule->number_count == 0 && row->arg == ARG_SIZES)
            continue;
        buf_printf(out, " %s=", row->name);
        write_numbers(out, rule);
    }
}
