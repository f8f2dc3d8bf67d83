#include "common/formats/hdf5_type.h"

#include "common/base/attr.h"
#include "common/base/num.h"

/* Classes of datatypes. */
enum type_class {
    CLASS_INTEGER,
    CLASS_FLOAT,
    CLASS_TIME,
    CLASS_STRING,
    CLASS_BITFIELD,
    CLASS_OPAQUE,
    CLASS_COMPOUND,
    CLASS_REFERENCE,
    CLASS_ENUM,
    CLASS_VARIABLE,
    CLASS_ARRAY,
    CLASS_COMPLEX,
};

static const char *const class_names[] = {
    [CLASS_INTEGER] = "an integer of unusual size",
    [CLASS_FLOAT] = "a floating-point number of unusual layout",
    [CLASS_TIME] = "a time",
    [CLASS_STRING] = "a text",
    [CLASS_BITFIELD] = "a bit field",
    [CLASS_OPAQUE] = "opaque bytes",
    [CLASS_COMPOUND] = "a compound",
    [CLASS_REFERENCE] = "a reference",
    [CLASS_ENUM] = "an enumeration",
    [CLASS_VARIABLE] = "a sequence of variable length",
    [CLASS_ARRAY] = "an array",
    [CLASS_COMPLEX] = "a complex number of unusual layout",
};

/* What every encoded datatype begins with. */
struct type_head {
    unsigned class, version;
    uint32_t bits;
    uint32_t size;
};

static enum status
read_head(struct cursor *c, struct type_head *ret_head, struct err *err)
{
    uint64_t bits = 0;
    uint8_t byte;

    TRY(cursor_u8(c, &byte, err));
    TRY(hdf5_file_uint(c, 3, &bits, err));
    TRY(cursor_u32(c, &ret_head->size, err));
    ret_head->class = byte & 15;
    ret_head->version = byte >> 4;
    ret_head->bits = (uint32_t)bits;
    FAIL_IF(ret_head->class >= ARRAY_LENGTH(class_names) || ret_head->version == 0 ||
                ret_head->version > 5,
            err, UNSUPPORTED, c->offset, "a datatype of class %u, version %u", ret_head->class,
            ret_head->version);
    FAIL_IF(ret_head->size == 0, err, MALFORMED, c->offset, "a datatype of no size");
    return OK;
}

static enum status
read_integer(struct cursor *c, const struct type_head *head, struct hdf5_type *ret_type,
             struct err *err)
{
    static const enum dtype of[2][4] = {
        {DTYPE_UINT8, DTYPE_UINT16, DTYPE_UINT32, DTYPE_UINT64},
        {DTYPE_INT8, DTYPE_INT16, DTYPE_INT32, DTYPE_INT64},
    };
    bool is_signed = (head->bits & 8) != 0;
    uint16_t first, precision;

    TRY(cursor_u16(c, &first, err));
    TRY(cursor_u16(c, &precision, err));
    ret_type->is_big_endian = (head->bits & 1) != 0 && head->size > 1;
    for (unsigned i = 0; i < 4; i++)
        if (head->size == 1U << i && precision == 8U << i && first == 0)
            ret_type->dtype = of[is_signed][i];
    return OK;
}

/* Floating-point types by how their bits are laid out; all have an implied leading bit. */
static const struct {
    enum dtype dtype;
    uint8_t bytes, exponent_at, exponent_bits, mantissa_bits;
    uint32_t bias;
} floats[] = {
    {DTYPE_FLOAT16, 2, 10, 5, 10, 15},    {DTYPE_BFLOAT16, 2, 7, 8, 7, 127},
    {DTYPE_FLOAT32, 4, 23, 8, 23, 127},   {DTYPE_FLOAT64, 8, 52, 11, 52, 1023},
    {DTYPE_FLOAT8_E4M3FN, 1, 3, 4, 3, 7}, {DTYPE_FLOAT8_E5M2, 1, 2, 5, 2, 15},
};

static enum status
read_float(struct cursor *c, const struct type_head *head, struct hdf5_type *ret_type,
           struct err *err)
{
    uint16_t first, precision;
    uint32_t bias;
    const uint8_t *layout; /* exponent at, its bits, mantissa at, its bits */

    TRY(cursor_u16(c, &first, err));
    TRY(cursor_u16(c, &precision, err));
    TRY(cursor_bytes(c, 4, &layout, err));
    TRY(cursor_u32(c, &bias, err));
    ret_type->is_big_endian = (head->bits & 1) != 0 && head->size > 1;
    if ((head->bits & 0x40) != 0) /* VAX order */
        return OK;
    for (size_t i = 0; i < ARRAY_LENGTH(floats); i++)
        if (head->size == floats[i].bytes && precision == 8U * floats[i].bytes && first == 0 &&
            layout[0] == floats[i].exponent_at && layout[1] == floats[i].exponent_bits &&
            layout[2] == 0 && layout[3] == floats[i].mantissa_bits && bias == floats[i].bias)
            ret_type->dtype = floats[i].dtype;
    return OK;
}

/* A member's name: ended by a zero byte and, before version 3, filled to a multiple of eight. */
static enum status
read_name(struct cursor *c, unsigned version, struct slice *ret_name, struct err *err)
{
    const uint8_t *end = memchr(c->at, 0, cursor_left(c));
    const uint8_t *bytes;
    size_t length;

    FAIL_IF(end == NULL, err, TRUNCATED, c->offset, "the name of a datatype's member has no end");
    length = (size_t)(end - c->at);
    TRY(cursor_bytes(c, version < 3 ? length / 8 * 8 + 8 : length + 1, &bytes, err));
    *ret_name = (struct slice){(const char *)bytes, length};
    return OK;
}

/* The type within a type. One level is all that is ever looked at. */
static enum status
read_base(struct cursor *c, struct hdf5_type *ret_type, struct err *err)
{
    struct type_head head;

    TRY(read_head(c, &head, err));
    *ret_type = (struct hdf5_type){.size = head.size};
    if (head.class == CLASS_INTEGER)
        return read_integer(c, &head, ret_type, err);
    if (head.class == CLASS_FLOAT)
        return read_float(c, &head, ret_type, err);
    return OK;
}

static enum dtype
complex_of(enum dtype part)
{
    return part == DTYPE_FLOAT16   ? DTYPE_COMPLEX32
           : part == DTYPE_FLOAT32 ? DTYPE_COMPLEX64
           : part == DTYPE_FLOAT64 ? DTYPE_COMPLEX128
                                   : DTYPE_UNKNOWN;
}

/* A member of a compound: its name, its place, its type where that is a number. */
static enum status
read_member(struct cursor *c, const struct type_head *head, struct slice *ret_name,
            uint64_t *ret_place, struct hdf5_type *ret_type, struct err *err)
{
    unsigned width = 4;

    TRY(read_name(c, head->version, ret_name, err));
    if (head->version >= 3)
        width = head->size < 1U << 8    ? 1
                : head->size < 1U << 16 ? 2
                : head->size < 1U << 24 ? 3
                                        : 4;
    TRY(hdf5_file_uint(c, width, ret_place, err));
    if (head->version == 1)
        TRY(hdf5_file_skip(c, 28, err)); /* dimensions of its own */
    return read_base(c, ret_type, err);
}

/* h5py's complex numbers are compounds of two equal numbers, r and i. */
static enum status
read_compound(struct cursor *c, const struct type_head *head, struct hdf5_type *ret_type,
              struct err *err)
{
    struct hdf5_type real, imaginary;
    uint64_t real_at, imaginary_at;
    struct slice r, i;

    if ((head->bits & 0xffff) != 2)
        return OK;
    TRY(read_member(c, head, &r, &real_at, &real, err));
    if (!slice_is(r, "r") || complex_of(real.dtype) == DTYPE_UNKNOWN)
        return OK;
    TRY(read_member(c, head, &i, &imaginary_at, &imaginary, err));
    if (!slice_is(i, "i") || imaginary.dtype != real.dtype || real_at != 0 ||
        imaginary_at != real.size || head->size / 2 != real.size || head->size % 2 != 0 ||
        imaginary.is_big_endian != real.is_big_endian)
        return OK;
    ret_type->dtype = complex_of(real.dtype);
    ret_type->is_big_endian = real.is_big_endian;
    return OK;
}

/* An enumeration is its numbers, but for h5py's booleans: a byte that is FALSE or TRUE. */
static enum status
read_enum(struct cursor *c, const struct type_head *head, struct hdf5_type *ret_type,
          struct err *err)
{
    struct hdf5_type base;
    struct slice no, yes;
    const uint8_t *values;

    TRY(read_base(c, &base, err));
    if (base.size != head->size)
        return OK;
    ret_type->dtype = base.dtype;
    ret_type->is_big_endian = base.is_big_endian;
    if ((head->bits & 0xffff) != 2 || head->size != 1)
        return OK;
    TRY(read_name(c, head->version, &no, err));
    TRY(read_name(c, head->version, &yes, err));
    TRY(cursor_bytes(c, 2, &values, err));
    if (slice_is(no, "FALSE") && slice_is(yes, "TRUE") && values[0] == 0 && values[1] == 1)
        ret_type->dtype = DTYPE_BOOL;
    return OK;
}

static enum status
read_complex(struct cursor *c, const struct type_head *head, struct hdf5_type *ret_type,
             struct err *err)
{
    struct hdf5_type part;

    TRY(read_base(c, &part, err));
    if (head->size / 2 == part.size && head->size % 2 == 0)
        ret_type->dtype = complex_of(part.dtype);
    ret_type->is_big_endian = part.is_big_endian;
    return OK;
}

enum status
hdf5_type_read(struct cursor *c, struct hdf5_type *ret_type, struct err *err)
{
    struct type_head head;

    TRY(read_head(c, &head, err));
    *ret_type = (struct hdf5_type){.size = head.size, .name = class_names[head.class]};
    switch (head.class) {
    case CLASS_INTEGER:
        return read_integer(c, &head, ret_type, err);
    case CLASS_FLOAT:
        return read_float(c, &head, ret_type, err);
    case CLASS_STRING:
        ret_type->dtype = DTYPE_STRING;
        ret_type->text = (head.bits & 15) == 2 ? HDF5_SPACED_TEXT : HDF5_FIXED_TEXT;
        return OK;
    case CLASS_OPAQUE:
        ret_type->is_opaque = true;
        return OK;
    case CLASS_COMPOUND:
        return read_compound(c, &head, ret_type, err);
    case CLASS_ENUM:
        return read_enum(c, &head, ret_type, err);
    case CLASS_VARIABLE:
        if ((head.bits & 15) == 1) {
            ret_type->dtype = DTYPE_STRING;
            ret_type->text = HDF5_VARIABLE_TEXT;
        }
        return OK;
    case CLASS_COMPLEX:
        return read_complex(c, &head, ret_type, err);
    default:
        return OK;
    }
}

/* ---- dataspaces ---- */

enum { RANK_MAX = 32 }; /* H5S_MAX_RANK */

static enum status
read_dims(struct hdf5_file *f, struct cursor *c, unsigned rank, struct hdf5_space *space,
          struct err *err)
{
    uint64_t *dims = arena_alloc(&f->in->arena, rank, sizeof *dims);

    if (dims == NULL)
        return arena_fail(&f->in->arena, err);
    for (unsigned i = 0; i < rank; i++)
        TRY(hdf5_file_length(f, c, &dims[i], err));
    space->shape = (struct shape){.rank = rank, .dims = dims};
    FAIL_IF(!shape_elements(space->shape, &space->elements), err, MALFORMED, c->offset,
            "the dimensions multiply to more than 2^63");
    return OK;
}

enum status
hdf5_type_space(struct hdf5_file *f, struct cursor *c, struct hdf5_space *ret_space,
                struct err *err)
{
    uint8_t version, rank, flags, kind = 1;

    *ret_space = (struct hdf5_space){0};
    TRY(cursor_u8(c, &version, err));
    TRY(cursor_u8(c, &rank, err));
    TRY(cursor_u8(c, &flags, err));
    FAIL_IF(version != 1 && version != 2, err, UNSUPPORTED, c->offset, "a dataspace of version %u",
            version);
    if (version == 2)
        TRY(cursor_u8(c, &kind, err));
    else
        TRY(hdf5_file_skip(c, 5, err));
    FAIL_IF(kind > 2, err, MALFORMED, c->offset, "a dataspace of unknown kind %u", kind);
    FAIL_IF(rank > RANK_MAX, err, MALFORMED, c->offset,
            "a dataspace of %u dimensions, where the format has at most 32", rank);
    FAIL_IF(rank > f->limits->rank || rank > TENSOR_RANK_MAX, err, LIMIT, c->offset,
            "a dataset of %u dimensions; the limit is %zu", rank, f->limits->rank);
    FAIL_IF(kind != 1 && rank != 0, err, MALFORMED, c->offset,
            "a dataspace that has no dimensions by its kind, and %u all the same", rank);
    ret_space->is_null = kind == 2;
    return read_dims(f, c, rank, ret_space, err);
}

/* ---- layouts ---- */

enum { COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL };

static void
place_at(const struct hdf5_file *f, uint64_t address, struct hdf5_layout *layout)
{
    layout->storage = address == HDF5_UNDEFINED ? HDF5_UNALLOCATED : HDF5_STORED;
    /* Past 2^64 there is nothing: kept as an offset that no file has. */
    if (!num_add(address, f->base, &layout->offset))
        layout->offset = UINT64_MAX;
}

/* Versions 1 and 2: the size is the shape's, in bytes as stored. */
static enum status
read_old_layout(const struct hdf5_file *f, struct cursor *c, struct hdf5_layout *ret_layout,
                struct err *err)
{
    uint64_t address = HDF5_UNDEFINED, bytes;
    uint8_t rank, class;

    TRY(cursor_u8(c, &rank, err));
    TRY(cursor_u8(c, &class, err));
    TRY(hdf5_file_skip(c, 5, err));
    if (class != COMPACT)
        TRY(hdf5_file_address(f, c, &address, err));
    TRY(hdf5_file_skip(c, (size_t)4 * rank, err));
    FAIL_IF(class > CHUNKED, err, MALFORMED, c->offset, "a data layout of unknown class %u", class);
    if (class == COMPACT) {
        TRY(hdf5_file_uint(c, 4, &bytes, err));
        *ret_layout = (struct hdf5_layout){HDF5_STORED, c->offset, bytes, true};
        return hdf5_file_skip(c, (size_t)bytes, err);
    }
    place_at(f, address, ret_layout);
    if (class == CHUNKED && ret_layout->storage == HDF5_STORED)
        ret_layout->storage = HDF5_CHUNKED;
    return OK;
}

/* Of a chunked layout it matters only whether there are any chunks: how they are found is told after
 * their shape, in as many ways as there are indexes. */
static enum status
read_chunked(const struct hdf5_file *f, struct cursor *c, unsigned version,
             struct hdf5_layout *ret_layout, struct err *err)
{
    uint64_t address = 0;
    uint8_t rank;

    if (version == 3) {
        TRY(cursor_u8(c, &rank, err));
        TRY(hdf5_file_address(f, c, &address, err));
    } else {
        /* The address is the last member, whatever the index. */
        size_t left = cursor_left(c);

        FAIL_IF(left < f->offset_bytes, err, TRUNCATED, c->offset, "a data layout ends early");
        TRY(hdf5_file_skip(c, left - f->offset_bytes, err));
        TRY(hdf5_file_address(f, c, &address, err));
    }
    ret_layout->storage = address == HDF5_UNDEFINED ? HDF5_UNALLOCATED : HDF5_CHUNKED;
    return OK;
}

enum status
hdf5_type_layout(const struct hdf5_file *f, struct cursor *c, struct hdf5_layout *ret_layout,
                 struct err *err)
{
    uint8_t version, class;
    uint64_t address, bytes;

    *ret_layout = (struct hdf5_layout){0};
    TRY(cursor_u8(c, &version, err));
    FAIL_IF(version == 0 || version > 5, err, UNSUPPORTED, c->offset, "a data layout of version %u",
            version);
    if (version < 3)
        return read_old_layout(f, c, ret_layout, err);
    TRY(cursor_u8(c, &class, err));
    switch (class) {
    case COMPACT:
        TRY(hdf5_file_uint(c, 2, &bytes, err));
        *ret_layout = (struct hdf5_layout){HDF5_STORED, c->offset, bytes, true};
        return hdf5_file_skip(c, (size_t)bytes, err);
    case CONTIGUOUS:
        TRY(hdf5_file_address(f, c, &address, err));
        place_at(f, address, ret_layout);
        ret_layout->has_bytes = true;
        return hdf5_file_length(f, c, &ret_layout->bytes, err);
    case CHUNKED:
        return read_chunked(f, c, version, ret_layout, err);
    case VIRTUAL:
        ret_layout->storage = HDF5_ELSEWHERE;
        return OK;
    default:
        FAIL(err, MALFORMED, c->offset, "a data layout of unknown class %u", class);
    }
}
