/*
 * NumPy's arrays, .npy, and zip archives of them, .npz:
 *
 *     "\x93NUMPY" | u8 major, minor | u16 length (u32 since 2.0) | the header | the elements
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
 *
 * Specification: numpy/lib/_format_impl.py and NEP 1. numpy_header.c reads the header. An array alone
 * is a tensor without a name. An archive is a state dict, its keys the members' names without ".npy":
 * np.savez(**state). Where a type has objects, a pickle stands in place of the elements, which
 * np.load(allow_pickle=True) runs: it is judged here, and the array is an entry and no tensor. Other
 * members, which np.load gives as bytes, are entries, and judged too where they turn out to be
 * pickles.
 *
 * NumPy's limit of 10,000 bytes of header holds here as well. Of compressed arrays only the start is
 * inflated; where their elements lie is not told.
 */
#include "common/formats/format.h"

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/formats/builder.h"
#include "common/formats/numpy_header.h"
#include "common/formats/safety.h"
#include "common/formats/window.h"
#include "common/formats/zip.h"

enum {
    AHEAD_BYTES = 4096, /* of small arrays several are read at once */
    FIRST_BYTES = 256,  /* of a header: almost all are shorter */
    HEAD_BYTES = NUMPY_START_BYTES + NUMPY_LITERAL_MAX,
    BITS_ALL = 48,  /* every member is named as an array */
    BITS_SOME = 33, /* some are: surer than torch_zip.c is of any archive */
};

/* An array in a file, or the member of an archive. */
struct array {
    struct slice name;               /* of the tensor */
    struct slice member;             /* for findings */
    const struct zip_member *zipped; /* NULL: a file of its own */
    uint64_t size_bytes;
};

struct numpy {
    struct inspection *in;
    const struct limits *limits;
    const struct source *source;
    const struct zip_directory *directory; /* NULL: no archive */
    struct window window;
    struct builder builder;
    struct arena scratch;
    struct pickle_budget budget;
    struct safety_judge judge;
    size_t pickle_bytes_left;
    uint8_t head[HEAD_BYTES];
    size_t head_length;
};

static unsigned
probe(const uint8_t *head, size_t length, const struct source *source)
{
    (void)source;
    return numpy_header_begins(head, length) ? 48 : 0;
}

static bool
is_named_as_array(const struct zip_member *m)
{
    return slice_ends(m->name, slice_of(".npy"));
}

/* An archive of arrays; or of arrays among other things, which no other writer makes. */
static unsigned
probe_zip(const struct zip_directory *directory)
{
    size_t named = 0, begun = 0;

    for (size_t i = 0; i < directory->count; i++) {
        const struct zip_member *m = &directory->members[i];

        named += is_named_as_array(m);
        begun += m->method == ZIP_STORED && numpy_header_begins(m->head, m->head_length);
        if (slice_ends(m->name, slice_of("data.pkl")))
            return 0;
    }
    if (named == directory->count)
        return named > 0 ? BITS_ALL : 0;
    return named > 0 || begun > 0 ? BITS_SOME : 0;
}

static void
numpy_done(struct numpy *n)
{
    window_done(&n->window);
    builder_done(&n->builder);
    safety_done(&n->judge);
    arena_done(&n->scratch);
}

/* ---- pickles ---- */

static enum status
note_unjudged(struct numpy *n, const struct array *a, const struct err *problem, struct err *err)
{
    safety_at_least(&n->judge, SAFETY_MALFORMED);
    return inspection_note(n->in, n->limits, FINDING_PICKLE_LIMIT, a->member, err,
                           "a pickle in it could not be looked into: %s", problem->text);
}

/* The bytes of a file or member, whole. *ret_is_there is false, with the problem, where they cannot be
 * had. */
static enum status
read_whole(struct numpy *n, const struct array *a, struct zip_payload *ret, bool *ret_is_there,
           struct err *problem, struct err *err)
{
    enum status status = OK;

    *ret_is_there = false;
    if (a->zipped != NULL)
        status = zip_payload_read(n->directory, a->zipped, n->pickle_bytes_left, n->limits, ret,
                                  problem);
    else if (a->size_bytes > n->pickle_bytes_left) {
        err_set(problem, ERR_LIMIT, 0, "it has %llu bytes; the limit is %zu",
                (unsigned long long)a->size_bytes, n->limits->pickle_bytes);
        return OK;
    } else {
        ret->bytes = mem_new((size_t)a->size_bytes + 1, 1);
        FAIL_IF(ret->bytes == NULL, err, NO_MEMORY, 0, "out of memory");
        ret->length = (size_t)a->size_bytes;
        ret->cost_bytes = a->size_bytes;
        ret->is_whole = ret->is_crc_right = true;
        TRY(source_read(n->source, 0, ret->bytes, ret->length, err));
    }
    if (status == ERR_NO_MEMORY || status == ERR_IO) {
        err_copy(err, problem);
        return status;
    }
    *ret_is_there = status == OK;
    n->pickle_bytes_left -=
        ret->cost_bytes < n->pickle_bytes_left ? (size_t)ret->cost_bytes : n->pickle_bytes_left;
    return OK;
}

/* Run what stands behind the header. */
static enum status
judge_rest(struct numpy *n, const struct array *a, const struct numpy_header *h, struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload whole = {0};
    struct err problem = {0};
    struct slice bytes;
    struct pickle p;
    bool is_there;

    TRY(read_whole(n, a, &whole, &is_there, &problem, err));
    if (!is_there)
        return note_unjudged(n, a, &problem, err);
    bytes = (struct slice){whole.bytes, whole.length};
    bytes =
        slice_from(bytes, h->data_offset < bytes.length ? (size_t)h->data_offset : bytes.length);
    TRY(pickle_run(bytes, &n->budget, &n->scratch, &p, err));
    if (h->is_strange && !p.is_complete && p.global_count == 0)
        return OK; /* no pickle, and malformed already */
    return safety_add(&n->judge, &p, a->member, SAFETY_EXTRA, err);
}

/* What stands in place of an array's elements. */
static enum status
judge_objects(struct numpy *n, const struct array *a, const struct numpy_header *h, struct err *err)
{
    TRY(inspection_note(n->in, n->limits, FINDING_PICKLE_NESTED, a->member, err,
                        "an array of objects, kept as a pickle: np.load refuses it, or runs the "
                        "pickle where allow_pickle=True"));
    return judge_rest(n, a, h, err);
}

/* Nobody but numpy.dtype knows what the text of the type stands for. */
static enum status
judge_strange(struct numpy *n, const struct array *a, const struct numpy_header *h, struct err *err)
{
    safety_at_least(&n->judge, SAFETY_MALFORMED);
    TRY(inspection_note(n->in, n->limits, FINDING_HEADER_MALFORMED, a->member, err,
                        "its element type is spelled as NumPy never writes it: it may stand for "
                        "objects, whose pickle np.load runs where allow_pickle=True"));
    return judge_rest(n, a, h, err);
}

static bool
is_named_as_pickle(struct slice name)
{
    return slice_ends(name, slice_of(".pkl")) || slice_ends(name, slice_of(".pickle"));
}

/* It does not begin as pickles do today, but may be one of protocol 0. */
static enum status
note_unseen(struct numpy *n, const struct array *a, const struct err *problem, struct err *err)
{
    safety_at_least(&n->judge, SAFETY_UNLISTED);
    return inspection_note(n->in, n->limits, FINDING_PICKLE_LIMIT, a->member, err,
                           "it could not be looked into, whether it is a pickle: %s",
                           problem->text);
}

/* A member that is no array. It is a pickle if it runs to its end, or names a global before it
 * breaks; or if it says so. */
static enum status
judge_other(struct numpy *n, const struct array *a, struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload whole = {0};
    struct err problem = {0};
    struct pickle p;
    bool is_there;

    TRY(read_whole(n, a, &whole, &is_there, &problem, err));
    if (!is_there)
        return n->head_length == 0 || n->head[0] == 0x80 || is_named_as_pickle(a->member)
                   ? note_unjudged(n, a, &problem, err)
                   : note_unseen(n, a, &problem, err);
    TRY(pickle_run((struct slice){whole.bytes, whole.length}, &n->budget, &n->scratch, &p, err));
    if (!p.is_complete && p.global_count == 0 && !is_named_as_pickle(a->member))
        return OK;
    TRY(inspection_note(n->in, n->limits, FINDING_PICKLE_EXTRA, a->member, err,
                        "a pickle, which np.load does not read"));
    return safety_add(&n->judge, &p, a->member, SAFETY_EXTRA, err);
}

/* ---- arrays ---- */

static enum status
read_start(struct numpy *n, const struct array *a, size_t room, struct err *err)
{
    const uint8_t *bytes;

    if (a->zipped != NULL && a->zipped->method != ZIP_STORED)
        return zip_payload_start(n->directory, a->zipped, n->head, room, &n->head_length, err);
    n->head_length = a->size_bytes < room ? (size_t)a->size_bytes : room;
    if (a->zipped != NULL && !a->zipped->is_usable)
        n->head_length = 0;
    TRY(window_at(&n->window, a->zipped != NULL ? a->zipped->data_offset : 0, n->head_length,
                  &bytes, err));
    memcpy(n->head, bytes, n->head_length);
    return OK;
}

/* An error in problem is the array's; err is for what ends the reading. */
static enum status
read_header(struct numpy *n, const struct array *a, struct numpy_header *h, bool *ret_is_read,
            struct err *problem, struct err *err)
{
    size_t size;

    *ret_is_read = false;
    TRY(read_start(n, a, FIRST_BYTES, err));
    if (numpy_header_size(n->head, n->head_length, &size, problem) != OK)
        return OK;
    if (size > n->head_length && a->size_bytes > n->head_length)
        TRY(read_start(n, a, size, err));
    *ret_is_read = numpy_header_read(n->head, n->head_length, h, problem) == OK;
    return OK;
}

static enum status
add_entry(struct numpy *n, struct slice name, enum entry_kind kind, const char *type,
          struct err *err)
{
    struct entry e = {.name = name, .kind = kind, .type = slice_of(type)};

    return builder_entry(&n->builder, &e, err);
}

static enum status
note_size(struct numpy *n, const struct array *a, uint64_t need, uint64_t there, struct err *err)
{
    if (need == there)
        return OK;
    if (need < there)
        return inspection_note(n->in, n->limits, FINDING_FILE_TRAILING, a->member, err,
                               "%llu bytes follow the array: np.load does not read them",
                               (unsigned long long)(there - need));
    safety_at_least(&n->judge, SAFETY_MALFORMED);
    return inspection_note(n->in, n->limits, FINDING_STORAGE_SHORT, a->member, err,
                           "it has %llu bytes where the shape needs %llu: it is cut off or damaged",
                           (unsigned long long)there, (unsigned long long)need);
}

/* Where the elements lie, if a reader of ranges could use it. */
static enum status
place_array(struct numpy *n, const struct array *a, const struct numpy_header *h,
            struct built_tensor *t, struct err *err)
{
    uint64_t there = a->size_bytes - h->data_offset, need;
    bool is_plain = a->zipped == NULL || a->zipped->method == ZIP_STORED;

    if (!h->has_size)
        return OK;
    if (!num_mul(t->tensor.elements, h->item_bytes, &need))
        need = UINT64_MAX; /* more than any file has */
    TRY(note_size(n, a, need, there, err));
    if (!is_plain)
        return inspection_note(n->in, n->limits, FINDING_STORAGE_COMPRESSED, a->member, err,
                               "it is compressed: its elements have no byte range in the file");
    t->place = (struct place){
        .has_bytes = need <= there && dtype_bits(h->dtype) > 0,
        .is_big_endian = h->is_big_endian,
        .offset = (a->zipped != NULL ? a->zipped->data_offset : 0) + h->data_offset,
        .stored_bytes = need,
        .storage_bytes = need,
    };
    return OK;
}

/* Fortran's order: the first index varies fastest. */
static enum status
make_strides(struct numpy *n, const struct shape *shape, const int64_t **ret_strides,
             struct err *err)
{
    int64_t *strides = arena_alloc(&n->in->arena, shape->rank, sizeof *strides);
    uint64_t step = 1;

    if (strides == NULL)
        return arena_fail(&n->in->arena, err);
    for (uint32_t i = 0; i < shape->rank; i++) {
        strides[i] = (int64_t)step; /* a part of the elements' number, which is below 2^63 */
        step *= shape->dims[i];
    }
    *ret_strides = strides;
    return OK;
}

static enum status
note_dtype(struct numpy *n, const struct array *a, const struct numpy_header *h, struct err *err)
{
    if (h->dtype != DTYPE_UNKNOWN)
        return OK;
    return inspection_note(
        n->in, n->limits, FINDING_TENSOR_DTYPE, a->member, err,
        "its element type, %.*s, is none of PyTorch's",
        SLICE_PRINT(slice_part(h->descr, 0, h->descr.length < 80 ? h->descr.length : 80)));
}

static enum status
add_tensor(struct numpy *n, const struct array *a, const struct numpy_header *h, struct err *err)
{
    struct built_tensor t = {.tensor = {.name = a->name, .dtype = h->dtype}};
    uint64_t *dims = arena_alloc(&n->in->arena, h->rank, sizeof *dims);

    if (dims == NULL)
        return arena_fail(&n->in->arena, err);
    if (h->rank > 0)
        memcpy(dims, h->dims, h->rank * sizeof *dims);
    t.tensor.shape = (struct shape){.rank = h->rank, .dims = dims};
    if (!shape_elements(t.tensor.shape, &t.tensor.elements) ||
        !shape_bytes(t.tensor.elements, h->dtype, &t.tensor.bytes)) {
        safety_at_least(&n->judge, SAFETY_MALFORMED);
        return inspection_note(n->in, n->limits, FINDING_TENSOR_MALFORMED, a->member, err,
                               "its shape overflows: it is left out");
    }
    TRY(note_dtype(n, a, h, err));
    TRY(place_array(n, a, h, &t, err));
    if (h->is_fortran && h->rank >= 2 && t.tensor.elements > 0)
        TRY(make_strides(n, &t.tensor.shape, &t.place.strides, err));
    return builder_tensor(&n->builder, &t, err);
}

static enum status
add_array(struct numpy *n, const struct array *a, const struct numpy_header *h, struct err *err)
{
    if (h->is_strange)
        TRY(judge_strange(n, a, h, err));
    if (!h->has_objects)
        return add_tensor(n, a, h, err);
    TRY(add_entry(n, a->name, ENTRY_OBJECT, "numpy.ndarray", err));
    return judge_objects(n, a, h, err);
}

/* ---- an archive ---- */

static enum status
add_broken(struct numpy *n, const struct array *a, const struct err *problem, struct err *err)
{
    safety_at_least(&n->judge, SAFETY_MALFORMED);
    TRY(add_entry(n, a->name, ENTRY_OBJECT, "numpy.ndarray", err));
    return inspection_note(n->in, n->limits, FINDING_HEADER_MALFORMED, a->member, err, "%s",
                           problem->text);
}

static enum status
add_other(struct numpy *n, const struct array *a, struct err *err)
{
    TRY(add_entry(n, a->name, ENTRY_BYTES, "bytes", err));
    TRY(inspection_note(n->in, n->limits, FINDING_FILE_OTHER, a->member, err,
                        "a member that is no array: np.load gives its bytes"));
    return judge_other(n, a, err);
}

static enum status
read_member(struct numpy *n, const struct zip_member *m, struct err *err)
{
    bool is_named = is_named_as_array(m), is_read;
    struct array a = {
        .name = slice_part(m->name, 0, m->name.length - (is_named ? strlen(".npy") : 0)),
        .member = m->name,
        .zipped = m,
        .size_bytes = m->method == ZIP_STORED ? m->stored_bytes : m->size_bytes,
    };
    struct numpy_header h;
    struct err problem = {0};

    if (slice_ends(m->name, slice_of("/")) && m->size_bytes == 0)
        return OK; /* a folder */
    TRY(read_header(n, &a, &h, &is_read, &problem, err));
    if (is_read)
        return add_array(n, &a, &h, err);
    if (is_named || numpy_header_begins(n->head, n->head_length))
        return add_broken(n, &a, &problem, err);
    return add_other(n, &a, err);
}

/* ---- the whole ---- */

static void
begin(struct numpy *n, struct inspection *in, const struct limits *limits,
      const struct source *source)
{
    *n = (struct numpy){
        .in = in,
        .limits = limits,
        .source = source,
        .window = window_over(source, AHEAD_BYTES),
        .scratch = arena_with_cap(limits->arena_bytes),
        .budget = pickle_budget(limits),
        .pickle_bytes_left = limits->pickle_bytes,
    };
    builder_begin(&n->builder, in, limits);
    safety_begin(&n->judge, in, limits, &n->budget);
}

static enum status
finish(struct numpy *n, enum container_kind kind, struct err *err)
{
    size_t count = n->builder.tensors.count;

    TRY(safety_end(&n->judge, err));
    TRY(builder_finish(&n->builder, (struct slice){0}, kind, err));
    if (n->in->containers[0].structure.count < count && n->in->safety < SAFETY_MALFORMED)
        n->in->safety = SAFETY_MALFORMED; /* a name twice: noted by the builder */
    if (n->in->containers[0].structure.count > 0)
        n->in->default_container = 0;
    else
        TRY(inspection_note(n->in, n->limits, FINDING_EMPTY, (struct slice){0}, err,
                            "no array of numbers was found in it"));
    return OK;
}

static enum status
read_npy(const struct fileset *files, const struct limits *limits, struct inspection *in,
         struct err *err)
{
    CLEANUP(numpy_done) struct numpy n = {0};
    struct array a = {0};
    struct numpy_header h;
    struct err problem = {0};
    struct source source;
    bool is_read;

    TRY(files->open(files->context, 0, &source, err));
    begin(&n, in, limits, &source);
    a.size_bytes = source.size_bytes;
    a.member = slice_of("the array");
    TRY(read_header(&n, &a, &h, &is_read, &problem, err));
    if (!is_read) {
        err_copy(err, &problem);
        return problem.code;
    }
    TRY(add_array(&n, &a, &h, err));
    return finish(&n, CONTAINER_FRAGMENT, err); /* as torch.save of one tensor */
}

static enum status
read_npz(const struct zip_directory *directory, const struct fileset *files,
         const struct limits *limits, struct inspection *in, struct err *err)
{
    CLEANUP(numpy_done) struct numpy n = {0};

    (void)files;
    begin(&n, in, limits, directory->source);
    n.directory = directory;
    for (size_t i = 0; i < directory->count; i++)
        TRY(read_member(&n, &directory->members[i], err));
    return finish(&n, CONTAINER_WEIGHTS, err);
}

const struct format format_numpy = {
    .name = "numpy",
    .probe = probe,
    .read = read_npy,
    .probe_zip = probe_zip,
    .read_zip = read_npz,
};
