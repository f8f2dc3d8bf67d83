#include "common/formats/torch_object.h"

#include "common/base/attr.h"
#include "common/formats/pickle_stream.h"
#include "common/formats/torch_containers.h"
#include "common/formats/torch_metadata.h"

enum {
    END_BYTES = 22,           /* of a zip archive's end without a comment */
    PICKLES_MAX = 10000,      /* that are judged behind a checkpoint */
    TEXT_BYTES_MAX = 1 << 20, /* of one that does not begin with PROTO */
};

enum status
torch_object_read(struct torch_reader *r, struct pickle_value root, struct err *err)
{
    TRY(torch_containers_read(r, root, err));
    TRY(torch_metadata_read(r, root, err));
    if (r->in->default_container == SIZE_MAX)
        TRY(inspection_note(r->in, r->limits, FINDING_EMPTY, (struct slice){0}, err,
                            "no state dict with tensors was found in it"));
    return OK;
}

/* A zip archive's end is looked for from the back: it may follow anything. */
static enum status
note_archive(struct safety_judge *judge, const struct source *source, uint64_t offset,
             struct err *err)
{
    char end[END_BYTES];

    if (source->size_bytes - offset < END_BYTES)
        return OK;
    TRY(source_read(source, source->size_bytes - END_BYTES, end, sizeof end, err));
    if (memcmp(end, "PK\5\6", 4) != 0)
        return OK;
    safety_at_least(judge, SAFETY_MALFORMED);
    return inspection_note(judge->in, judge->limits, FINDING_POLYGLOT, (struct slice){0}, err,
                           "the file ends as a zip archive: some programs open it as another file "
                           "than this one");
}

/* Run pickles one behind the other, as programs read them that know how many there are. */
static enum status
judge_pickles(struct safety_judge *judge, const struct source *source, uint64_t offset,
              struct err *err)
{
    bool goes_on = true;

    for (size_t i = 0; i < PICKLES_MAX && goes_on && offset < source->size_bytes; i++) {
        CLEANUP(pickle_stream_done) struct pickle_stream stream = {0};
        CLEANUP(arena_done) struct arena arena = arena_with_cap(judge->limits->arena_bytes);
        uint8_t head[2] = {0};
        struct pickle p;

        if (source->size_bytes - offset < sizeof head)
            return OK;
        TRY(source_read(source, offset, head, sizeof head, err));
        /* Protocols 0 and 1 begin with anything. */
        TRY(pickle_stream_read(&stream, source, offset, source->size_bytes,
                               head[0] == 0x80 ? judge->limits->pickle_bytes : TEXT_BYTES_MAX,
                               judge->limits, err));
        TRY(pickle_stream_run(&stream, judge->budget, &arena, &p, err));
        /* Chance, unless it runs to its end or names something. */
        if (!p.is_complete && p.global_count == 0)
            return OK;
        TRY(safety_add(judge, &p, slice_of("a pickle that follows"), SAFETY_EXTRA, err));
        offset = stream.end;
        goes_on = p.has_stop;
    }
    return OK;
}

enum status
torch_object_trailing(struct safety_judge *judge, const struct source *source, uint64_t offset,
                      struct err *err)
{
    TRY(inspection_note(judge->in, judge->limits, FINDING_FILE_TRAILING, (struct slice){0}, err,
                        "%llu bytes follow the checkpoint's end; no loader reads them",
                        (unsigned long long)(source->size_bytes - offset)));
    TRY(note_archive(judge, source, offset, err));
    return judge_pickles(judge, source, offset, err);
}

/* Findings after which torch.load gives up, as PyTorch 2.13 does, and why. */
static const struct {
    enum finding_id id;
    bool is_of_zip; /* only */
    const char *reason;
} obstacles[] = {
    {FINDING_ZIP_MALFORMED, true, "the zip archive is malformed"},
    {FINDING_ZIP_FOREIGN, true, "members of the zip archive lie outside its root folder"},
    {FINDING_ZIP_FLAGS, true, "the zip archive says that members are encrypted"},
    {FINDING_ZIP_METHOD, true,
     "members of the zip archive have a compression that PyTorch cannot read"},
    {FINDING_TORCH_RECORD, true, "the archive's version or byteorder record is missing or unknown"},
    {FINDING_HEADER_MALFORMED, false, "a part that comes before the storages is malformed"},
    {FINDING_STORAGE_MISSING, true, "a storage's record is missing"},
    {FINDING_STORAGE_SHORT, false, "a storage is shorter than its tensors tell"},
    {FINDING_STORAGE_LONG, false,
     "a storage is longer than its tensors tell (zip archives: PyTorch 2.10 on)"},
    {FINDING_TENSOR_OUTSIDE, false, "a tensor reaches beyond its storage"},
    {FINDING_TENSOR_MALFORMED, false, "a tensor cannot be built"},
};

enum status
torch_object_refuse(struct safety_judge *judge, bool is_zip, struct err *err)
{
    const struct inspection *in = judge->in;

    for (size_t i = 0; i < ARRAY_LENGTH(obstacles); i++) {
        for (size_t k = 0; k < in->finding_count; k++) {
            if (in->findings[k].id == obstacles[i].id && (is_zip || !obstacles[i].is_of_zip))
                return safety_refuse(judge, err, "%s", obstacles[i].reason);
        }
    }
    return OK;
}
