#include "common/base/limits.h"

struct limits
limits_default(void)
{
    return (struct limits){
        .arena_bytes = (size_t)1 << 30,
        .header_bytes = 100000000, /* the safetensors library's own */
        .header_keys = 65536,
        .manifest_bytes = (size_t)64 << 20,
        .remap_bytes = (size_t)4 << 20,
        .tensors = 1000000,
        .name_bytes = 1024,
        .rank = 64,
        .json_tokens = 20000000,
        .json_depth = 16,
        .metadata_bytes = (size_t)256 << 10,
        .pickle_bytes = (size_t)256 << 20,
        .pickle_nodes = 30000000,
        .pickle_memo = 10000000,
        .pickle_memo_far = 4096,
        .pickle_globals = 10000,
        .pickle_depth = 512,
        .pickle_nesting = 3,
        .protobuf_fields = 20000000,
        .protobuf_depth = 100, /* the parsers' own */
        .zip_entries = 1000000,
        .zip_ratio = 200,
        .hdf5_bytes = (size_t)512 << 20,
        .gzip_bytes = (uint64_t)32 << 30,
        .dcp_chunks = 20000,
        .tile_steps = 100000000,
        .findings = 1000,
        .containers = 64,
        .remap_rules = 100000,
    };
}
