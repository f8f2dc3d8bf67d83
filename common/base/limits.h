#pragma once
/*
 * What an input can grow is bounded here, and every bound is passed in: no reader hides one of its
 * own. limits_default() gives the values of design.md §11; the configuration may change them.
 */
#include <stddef.h>
#include <stdint.h>

struct limits {
    size_t arena_bytes;     /* of all that one inspection or one manifest may hold */
    size_t header_bytes;    /* of a format's own header (safetensors, index files) */
    size_t header_keys;     /* of metadata in such a header (GGUF) */
    size_t manifest_bytes;  /* of a manifest's text */
    size_t remap_bytes;     /* of a remap's text */
    size_t tensors;         /* in one file set */
    size_t name_bytes;      /* of one tensor's name */
    size_t rank;            /* of one tensor; at most TENSOR_RANK_MAX */
    size_t json_tokens;     /* in one text */
    size_t json_depth;      /* of nested objects and arrays */
    size_t metadata_bytes;  /* of what is kept of a file's own metadata, as JSON */
    size_t pickle_bytes;    /* of one pickle, inflated */
    size_t pickle_nodes;    /* values, in all pickles of one file */
    size_t pickle_memo;     /* entries */
    size_t pickle_memo_far; /* entries whose index is far beyond their number */
    size_t pickle_globals;  /* different names, in one pickle */
    size_t pickle_depth;    /* of what is walked or printed; the machine itself is flat */
    size_t pickle_nesting;  /* pickles within pickles */
    size_t protobuf_fields; /* in one file, read as often as they are */
    size_t protobuf_depth;  /* messages within messages */
    size_t zip_entries;     /* in one archive */
    size_t zip_ratio;       /* inflated : deflated, of what we inflate */
    size_t hdf5_bytes;      /* read of an HDF5 file's own structures, in all */
    uint64_t gzip_bytes;    /* inflated of one gzip stream; and again, by jumping about in it */
    size_t dcp_chunks;      /* of one distributed checkpoint, that are opened */
    size_t tile_steps;      /* comparisons of the chunks of one file set's tensors */
    size_t findings;        /* kept; more are counted */
    size_t containers;      /* state dicts of one file set */
    size_t remap_rules;     /* in one remap */
};

struct limits limits_default(void);
