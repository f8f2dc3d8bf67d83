#include "common/formats/hdf5_heap.h"

#include "common/base/mem.h"
#include "common/base/num.h"

enum { OBJECT_HEAD_BYTES = 8 }; /* index, references, reserved: the size stands behind them */

enum status
hdf5_heap_names(struct hdf5_file *f, uint64_t address, struct hdf5_names *ret_names,
                struct err *err)
{
    size_t length = 8U + 2U * f->length_bytes + f->offset_bytes;
    uint64_t size, ignored, data;
    const uint8_t *bytes;
    struct cursor c;

    TRY(hdf5_file_cursor(f, address, length, &c, err));
    TRY(hdf5_file_signature(&c, "HEAP", 0, err));
    TRY(hdf5_file_skip(&c, 3, err));
    TRY(hdf5_file_length(f, &c, &size, err));
    TRY(hdf5_file_length(f, &c, &ignored, err)); /* the first free block */
    TRY(hdf5_file_address(f, &c, &data, err));
    FAIL_IF(size > f->limits->header_bytes, err, LIMIT, c.offset,
            "a group's names take more than %zu bytes", f->limits->header_bytes);
    TRY(hdf5_file_at(f, data, size, &bytes, err));
    ret_names->bytes = mem_copy(bytes, (size_t)size);
    FAIL_IF(ret_names->bytes == NULL, err, NO_MEMORY, 0, "out of memory");
    ret_names->length = (size_t)size;
    return OK;
}

void
hdf5_heap_names_done(struct hdf5_names *names)
{
    mem_free(names->bytes);
    *names = (struct hdf5_names){0};
}

enum status
hdf5_heap_name(const struct hdf5_names *names, uint64_t offset, struct slice *ret_name,
               struct err *err)
{
    const char *end;

    FAIL_IF(offset >= names->length, err, MALFORMED, 0,
            "the name of a link lies past its group's heap of names");
    end = memchr(names->bytes + offset, 0, names->length - (size_t)offset);
    FAIL_IF(end == NULL, err, MALFORMED, 0, "the name of a link has no end");
    *ret_name = (struct slice){names->bytes + offset, (size_t)(end - (names->bytes + offset))};
    return OK;
}

static enum status
open_collection(struct hdf5_file *f, struct hdf5_finder *finder, uint64_t collection,
                struct err *err)
{
    size_t head = 8U + f->length_bytes;
    uint64_t size;
    struct cursor c;

    *finder = (struct hdf5_finder){0};
    TRY(hdf5_file_cursor(f, collection, head, &c, err));
    TRY(hdf5_file_signature(&c, "GCOL", 1, err));
    TRY(hdf5_file_skip(&c, 3, err));
    TRY(hdf5_file_length(f, &c, &size, err));
    FAIL_IF(size < head || !num_add(collection, size, &finder->end), err, MALFORMED, c.offset,
            "a global heap of %llu bytes", (unsigned long long)size);
    finder->collection = collection;
    finder->at = collection + head;
    return OK;
}

/* The walk's next object: its size, and where its bytes are. False in *ret_found at the end. */
static enum status
next_object(struct hdf5_file *f, struct hdf5_finder *finder, bool *ret_found, uint64_t *ret_size,
            uint64_t *ret_data, struct err *err)
{
    unsigned head = OBJECT_HEAD_BYTES + f->length_bytes;
    uint64_t padded;
    struct cursor c;

    *ret_found = false;
    if (finder->end - finder->at < head)
        return OK;
    TRY(hdf5_file_cursor(f, finder->at, head, &c, err));
    TRY(hdf5_file_uint(&c, 2, &finder->index, err));
    TRY(hdf5_file_skip(&c, 6, err));
    TRY(hdf5_file_length(f, &c, ret_size, err));
    if (finder->index == 0) /* the free space, which is last */
        return OK;
    *ret_data = finder->at + head;
    FAIL_IF(!num_add(*ret_size, 7, &padded) || padded / 8 * 8 > finder->end - *ret_data, err,
            MALFORMED, c.offset, "an object of a global heap reaches past the heap");
    finder->at = *ret_data + padded / 8 * 8;
    *ret_found = true;
    return OK;
}

/* Walk on from where the walk stands; *ret_found is false where the object is not met. */
static enum status
walk(struct hdf5_file *f, struct hdf5_finder *finder, uint64_t index, bool *ret_found,
     uint64_t *ret_size, uint64_t *ret_data, struct err *err)
{
    do {
        TRY(next_object(f, finder, ret_found, ret_size, ret_data, err));
    } while (*ret_found && finder->index != index);
    return OK;
}

enum status
hdf5_heap_object(struct hdf5_file *f, struct hdf5_finder *finder, uint64_t collection,
                 uint64_t index, uint64_t length, const uint8_t **ret_bytes, struct err *err)
{
    uint64_t size = 0, data = 0;
    bool found = false;

    if (finder->collection == collection && collection != 0)
        TRY(walk(f, finder, index, &found, &size, &data, err));
    if (!found) {
        TRY(open_collection(f, finder, collection, err));
        TRY(walk(f, finder, index, &found, &size, &data, err));
    }
    FAIL_IF(!found || length > size, err, MALFORMED, f->base + collection,
            "a text of variable length is not where it should be");
    return hdf5_file_at(f, data, length, ret_bytes, err);
}
