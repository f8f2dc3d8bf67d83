/*
 * A bare pickle. It is no checkpoint of torch.save's, which torch.load would refuse, but many programs
 * keep weights in one:
 *
 *     Detectron2's model zoo    {"model": {name: array}, "__author__": …, "matching_heuristics": True}
 *     Detectron, Caffe2         {"blobs": {name: array}}
 *     pickled tensors           their storages as torch.storage._load_from_bytes(a stream of the old
 *                               format), as scikit-learn's and reinforcement learning's models have
 *
 * NumPy's arrays count as tensors here, and only here. Protocols 2 to 5 begin with PROTO. The first two
 * begin with nothing in particular: a small file is taken for one if all of it runs as one.
 *
 * joblib's files are pickles with arrays between the opcodes, which only joblib can walk over: what
 * comes before the first is read, and the file is called malformed, because the rest was not seen.
 */
#include "common/formats/format.h"

#include "common/base/attr.h"
#include "common/formats/pickle_stream.h"
#include "common/formats/torch_bytes.h"
#include "common/formats/torch_legacy.h"
#include "common/formats/torch_object.h"

enum {
    PROBE_BITS = 16,
    PROBE_BITS_TEXT = 4,
    TEXT_BYTES_MAX = 1 << 20, /* of a file of protocol 0 or 1 */
};

/* Whether all of a file is a pickle that gives something: one without PROTO, or with a protocol that there
 * is not, which some loaders pass over. */
static bool
runs(const struct source *source)
{
    CLEANUP(pickle_stream_done) struct pickle_stream stream = {0};
    struct limits limits = limits_default();
    struct pickle_budget budget = pickle_budget(&limits);
    CLEANUP(arena_done) struct arena arena = arena_with_cap(limits.arena_bytes);
    struct pickle p;

    if (pickle_stream_read(&stream, source, 0, source->size_bytes, TEXT_BYTES_MAX, &limits, NULL) !=
            OK ||
        stream.end != source->size_bytes ||
        pickle_stream_run(&stream, &budget, &arena, &p, NULL) != OK)
        return false;
    return p.is_complete || (p.has_stop && p.protocol > 0);
}

static unsigned
probe(const uint8_t *head, size_t length, const struct source *source)
{
    static const uint8_t openings[] = {0x80, '(', 'c', '}', ']'};
    char last;

    if (length < 3)
        return 0;
    if (head[0] == 0x80 && head[1] >= 2 && head[1] <= 5)
        return PROBE_BITS;
    if (memchr(openings, head[0], sizeof openings) == NULL || source->size_bytes > TEXT_BYTES_MAX ||
        source_read(source, source->size_bytes - 1, &last, 1, NULL) != OK || last != '.')
        return 0;
    return runs(source) ? PROBE_BITS_TEXT : 0;
}

struct file {
    const struct limits *limits;
    struct inspection *in;
    struct arena scratch;
    struct pickle_budget budget;
    struct safety_judge judge;
    struct pickle_stream stream;
};

static void
file_done(struct file *f)
{
    pickle_stream_done(&f->stream);
    safety_done(&f->judge);
    arena_done(&f->scratch);
}

static enum status
check_joblib(struct file *f, const struct pickle *p, struct err *err)
{
    for (const struct pickle_global *g = p->globals; g != NULL; g = g->next) {
        if (slice_is(g->module, "joblib.numpy_pickle") && slice_is(g->name, "NumpyArrayWrapper")) {
            safety_at_least(&f->judge, SAFETY_MALFORMED);
            return inspection_note(f->in, f->limits, FINDING_UNREADABLE, slice_of("joblib"), err,
                                   "joblib wrote this file, with arrays between the pickle's "
                                   "opcodes: what comes after the first array is not seen here");
        }
    }
    return OK;
}

static enum status
read_object(struct file *f, const struct pickle *p, struct err *err)
{
    CLEANUP(torch_reader_done)
    struct torch_reader r = torch_reader_of(f->in, f->limits, &f->scratch);

    r.pickle = p;
    r.budget = &f->budget;
    r.takes_arrays = true;
    return torch_object_read(&r, p->root, err);
}

static enum status
read_rest(struct file *f, const struct source *source, struct pickle *p, struct err *err)
{
    TRY(safety_add(&f->judge, p, slice_of("the pickle"), SAFETY_EXTRA, err));
    TRY(check_joblib(f, p, err));
    if (p->has_stop)
        TRY(read_object(f, p, err));
    if (p->has_stop && f->stream.end < source->size_bytes)
        TRY(torch_object_trailing(&f->judge, source, f->stream.end, err));
    TRY(safety_refuse(&f->judge, err,
                      "a bare pickle is no torch.save file: torch.load refuses it, with or without "
                      "weights_only"));
    return safety_end(&f->judge, err);
}

static enum status
read_pickle_file(const struct fileset *files, const struct limits *limits, struct inspection *in,
                 struct err *err)
{
    CLEANUP(file_done)
    struct file f = {
        .limits = limits,
        .in = in,
        .scratch = arena_with_cap(limits->arena_bytes),
        .budget = pickle_budget(limits),
    };
    struct source source;
    struct pickle p;

    TRY(files->open(files->context, 0, &source, err));
    TRY(pickle_stream_read(&f.stream, &source, 0, source.size_bytes, limits->pickle_bytes, limits,
                           err));
    TRY(pickle_stream_run(&f.stream, &f.budget, &f.scratch, &p, err));
    /* No object is a large number: that of torch.save, however it is spelled. */
    if (p.has_stop && p.root.kind == PICKLE_BIGINT) {
        in->format = slice_of("torch-legacy");
        return torch_legacy_read(&source, limits, in, err);
    }
    safety_begin(&f.judge, in, limits, &f.budget);
    return read_rest(&f, &source, &p, err);
}

const struct format format_pickle = {.name = "pickle", .probe = probe, .read = read_pickle_file};
