/*
 * What is looked at besides the tensors. Loaders open one pickle and nothing else, but every member
 * that looks like a pickle is judged: what a scanner and a loader would not both see is where attacks
 * hide.
 */
#include "common/formats/torch_archive.h"

#include "common/base/attr.h"
#include "common/formats/torch_bytes.h"

enum {
    /* What looking for an archive within the archive costs besides its members, counted as such. */
    NESTED_COST = 64,
};

/* What reading a member took, off what the members may take together. */
static void
charge(struct torch_work *w, const struct zip_payload *payload)
{
    w->pickle_bytes_left -= payload->cost_bytes < w->pickle_bytes_left ? (size_t)payload->cost_bytes
                                                                       : w->pickle_bytes_left;
}

static enum status
note_crc(struct torch_archive *a, const struct zip_member *m, const struct zip_payload *payload,
         struct err *err)
{
    struct torch_work *w = a->work;

    if (!payload->is_whole) {
        safety_at_least(&w->judge, SAFETY_MALFORMED);
        TRY(inspection_note(w->in, w->limits, FINDING_ZIP_MALFORMED, m->name, err,
                            "its compressed bytes are damaged, or are not as many as told"));
    }
    if (payload->is_crc_right)
        return OK;
    return inspection_note(w->in, w->limits, FINDING_ZIP_CRC, m->name, err,
                           "its checksum is wrong, which stops no loader: some writers leave it "
                           "out, and some scanners stop there");
}

enum status
torch_archive_run(struct torch_archive *a, const struct zip_member *m, enum safety_role role,
                  struct zip_payload *ret_payload, struct pickle *ret_pickle, struct err *err)
{
    struct torch_work *w = a->work;
    struct slice name = torch_archive_name(a, m);
    bool is_nested = a->label.at != NULL; /* of which there may be thousands */
    size_t cap = is_nested ? w->pickle_bytes_left : w->limits->pickle_bytes;

    *ret_pickle = (struct pickle){0};
    TRY(zip_payload_read(a->directory, m, cap, w->limits, ret_payload, err));
    if (is_nested)
        charge(w, ret_payload);
    TRY(note_crc(a, m, ret_payload, err));
    TRY(pickle_run((struct slice){ret_payload->bytes, ret_payload->length}, &w->budget, &w->scratch,
                   ret_pickle, err));
    return safety_add(&w->judge, ret_pickle, is_nested ? a->label : name, role, err);
}

/* A line of text that begins a pickle of protocol 0: GLOBAL, or INST after a mark, and a module's
 * name. */
static bool
begins_with_global(const uint8_t *at, size_t length)
{
    size_t i = length > 1 && at[0] == '(' ? 1 : 0;
    size_t name = i + 1;

    if (length <= name || (at[i] != 'c' && at[i] != 'i'))
        return false;
    for (i = name; i < length; i++) {
        bool is_name = (at[i] >= 'a' && at[i] <= 'z') || (at[i] >= 'A' && at[i] <= 'Z') ||
                       (at[i] >= '0' && at[i] <= '9') || at[i] == '_' || at[i] == '.';

        if (at[i] == '\n')
            return i > name;
        if (!is_name)
            return false;
    }
    return length == ZIP_HEAD_BYTES; /* a longer name goes on past the head */
}

static bool
has_pickle_name(struct slice name)
{
    static const char *const endings[] = {".pkl", ".pickle", ".PKL", ".joblib"};

    for (size_t i = 0; i < ARRAY_LENGTH(endings); i++) {
        if (slice_ends(name, slice_of(endings[i])))
            return true;
    }
    return false;
}

static bool
looks_like_pickle(const uint8_t *head, size_t length)
{
    return (length >= 2 && head[0] == 0x80 && head[1] <= 5) || begins_with_global(head, length);
}

/* A storage that a pickle names: its bytes are somebody's weights. */
static bool
is_storage(const struct torch_archive *a, const struct zip_member *m)
{
    return a->told[m - a->directory->members] > 0;
}

/* Weights are random bytes: of sixteen thousand storages one begins like a pickle. So a storage that
 * data.pkl names is taken for one only if it ends like one, too. */
static bool
ends_like_pickle(const struct torch_archive *a, const struct zip_member *m)
{
    char last = 0;

    return m->method == ZIP_STORED && m->stored_bytes > 0 &&
           source_read(a->directory->source, m->data_offset + m->stored_bytes - 1, &last, 1,
                       NULL) == OK &&
           last == '.';
}

/* An archive within an archive opens no other, so what looks like recursion is one level deep.
 * NOLINTBEGIN(misc-no-recursion) */
static enum status
judge_nested(struct torch_archive *a, const struct zip_member *m, enum safety_role role,
             struct err *err)
{
    CLEANUP(torch_nested_done) struct torch_nested n = {0};
    bool is_open;

    if (!a->opens_nested) {
        safety_at_least(&a->work->judge, SAFETY_UNLISTED);
        return inspection_note(a->work->in, a->work->limits, FINDING_PICKLE_NESTED, m->name, err,
                               "an archive within the archive, which is not looked into");
    }
    if (a->remarks_nested)
        TRY(inspection_note(a->work->in, a->work->limits, FINDING_PICKLE_NESTED, m->name, err,
                            "an archive within the archive, which torch.load does not read; its "
                            "pickles are judged"));
    return torch_nested_open(a, m, role, &n, &is_open, err);
}

/* Whether to run a member. One that a loader takes for a pickle is one, whatever it looks like and
 * whoever else takes it for a storage. */
static enum status
wants_judging(struct torch_archive *a, const struct zip_member *m, enum safety_role role,
              bool is_known, bool *ret_wants, struct err *err)
{
    uint8_t head[ZIP_HEAD_BYTES];
    size_t length;

    *ret_wants = !is_known && has_pickle_name(m->name);
    if (*ret_wants)
        return OK;
    TRY(zip_payload_head(a->directory, m, head, &length, err));
    if (length >= 4 && memcmp(head, "PK\3\4", 4) == 0 && (is_known || !is_storage(a, m)))
        return judge_nested(a, m, role, err);
    if (is_known) {
        *ret_wants = m->size_bytes > 0;
        return OK;
    }
    *ret_wants = looks_like_pickle(head, length) && (!is_storage(a, m) || ends_like_pickle(a, m));
    return OK;
}

/* The likeness of a member may be chance: unless its name says so, too, it is a pickle if it runs to
 * its end, or, where it is no storage, if it names a global before it breaks. A list of words begins
 * like a pickle of protocol 0 ("cat", "dog"), but calls nothing. */
static bool
is_pickle(const struct torch_archive *a, const struct zip_member *m, const struct pickle *p)
{
    bool is_binary = p->bytes.length > 0 && p->bytes.at[0] == (char)0x80;

    if (has_pickle_name(m->name) || p->is_complete)
        return true;
    return (is_binary ? p->global_count : p->call_count) > 0 && !is_storage(a, m);
}

static enum status
note_odd_magic(struct torch_archive *a, const struct zip_member *m, struct err *err)
{
    safety_at_least(&a->work->judge, SAFETY_MALFORMED);
    return inspection_note(a->work->in, a->work->limits, FINDING_PICKLE_ODD, m->name, err,
                           "no writer begins a file like this: torch.load may go on behind its "
                           "first pickle, scanners may not");
}

/* A pickle; or the five of torch.save's old format, which torch.load reads one after the other. */
static enum status
add_all(struct torch_archive *a, const struct zip_member *m, const struct pickle *first,
        enum safety_role role, struct err *err)
{
    struct torch_work *w = a->work;
    struct pickle p = *first;

    for (int i = 1; i < TORCH_LEGACY_PICKLES; i++) {
        struct slice rest;

        if (!p.has_stop || p.end >= p.bytes.length || (i == 1 && !torch_bytes_may_be_magic(p.root)))
            break;
        if (i == 1 && !torch_bytes_is_magic(p.root))
            TRY(note_odd_magic(a, m, err));
        rest = slice_from(p.bytes, (size_t)p.end);
        p.bytes.length = (size_t)p.end;
        TRY(safety_add(&w->judge, &p, m->name, role, err));
        TRY(pickle_run(rest, &w->budget, &w->scratch, &p, err));
        if (i == TORCH_LEGACY_PICKLES - 1 && p.has_stop)
            p.bytes.length = (size_t)p.end; /* storages follow */
    }
    return safety_add(&w->judge, &p, m->name, role, err);
}

static enum status
judge_member(struct torch_archive *a, const struct zip_member *m, enum safety_role role,
             bool is_known, struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    struct torch_work *w = a->work;
    struct err problem = {0};
    struct pickle p = {0};
    enum status status =
        zip_payload_read(a->directory, m, w->pickle_bytes_left, w->limits, &payload, &problem);

    if (status == ERR_NO_MEMORY || status == ERR_IO) {
        err_copy(err, &problem);
        return status;
    }
    if (status != OK && !is_known && is_storage(a, m))
        return OK; /* chance, all the more where it is large */
    if (status != OK) {
        a->judged++;
        safety_at_least(&w->judge, SAFETY_MALFORMED);
        return inspection_note(w->in, w->limits,
                               status == ERR_LIMIT ? FINDING_PICKLE_LIMIT : FINDING_ZIP_MALFORMED,
                               m->name, err, "it could not be looked into: %s", problem.text);
    }
    charge(w, &payload);
    TRY(pickle_run((struct slice){payload.bytes, payload.length}, &w->budget, &w->scratch, &p,
                   err));
    if (!is_known && !is_pickle(a, m, &p))
        return OK;
    a->judged++;
    if (!is_known)
        TRY(inspection_note(w->in, w->limits, FINDING_PICKLE_EXTRA, m->name, err,
                            "a pickle that torch.load does not read"));
    TRY(note_crc(a, m, &payload, err));
    return add_all(a, m, &p, role, err);
}

/* No loader of PyTorch's own reads such a member, but zipfile does, which read the first archives of
 * torch.export. */
static bool
is_unseen(const struct zip_member *m)
{
    return m->method != ZIP_STORED && m->method != ZIP_DEFLATED && m->stored_bytes > 0;
}

enum status
torch_archive_judge(struct torch_archive *a, enum safety_role role,
                    enum torch_member (*what)(struct slice name), const struct zip_member *done,
                    struct err *err)
{
    for (size_t i = 0; i < a->directory->count; i++) {
        const struct zip_member *m = &a->directory->members[i];
        enum torch_member kind = TORCH_MEMBER_STRANGE;
        bool wants, is_known;

        if (what != NULL)
            kind = what(torch_archive_name(a, m));
        if (m == done || kind == TORCH_MEMBER_DONE || !m->is_usable)
            continue;
        if (is_unseen(m))
            safety_at_least(&a->work->judge, SAFETY_MALFORMED); /* it has its finding */
        is_known = kind == TORCH_MEMBER_KNOWN || (a->noted[i] & TORCH_NOTED_LOADED) != 0;
        TRY(wants_judging(a, m, role, is_known, &wants, err));
        if (wants)
            TRY(judge_member(a, m, role, is_known, err));
    }
    return OK;
}

/* ---- archives within the archive ---- */

void
torch_nested_done(struct torch_nested *n)
{
    torch_archive_done(&n->archive);
    zip_payload_done(&n->main);
    zip_payload_done(&n->payload);
}

static enum status
note_closed(struct torch_archive *outer, const struct zip_member *m, const struct err *problem,
            struct err *err)
{
    struct torch_work *w = outer->work;

    if (problem->code == ERR_NO_MEMORY || problem->code == ERR_IO) {
        err_copy(err, problem);
        return problem->code;
    }
    safety_at_least(&w->judge, SAFETY_MALFORMED);
    return inspection_note(
        w->in, w->limits, problem->code == ERR_LIMIT ? FINDING_PICKLE_LIMIT : FINDING_ZIP_MALFORMED,
        m->name, err, "an archive within the archive, which could not be looked into: %s",
        problem->text);
}

/* The source of a stored member is a part of the file; a compressed one is inflated, within the same
 * budget as extra pickles. */
static enum status
open_source(struct torch_archive *outer, const struct zip_member *m, struct torch_nested *n,
            struct err *err)
{
    struct torch_work *w = outer->work;

    FAIL_IF(!m->is_usable, err, MALFORMED, 0, "its bytes are not where the directory says");
    if (m->method == ZIP_STORED && m->stored_bytes == m->size_bytes) {
        n->part = (struct source_part){.whole = outer->directory->source,
                                       .offset = m->data_offset,
                                       .size_bytes = m->stored_bytes};
        return source_of_part(&n->part, &n->source, err);
    }
    TRY(zip_payload_read(outer->directory, m, w->pickle_bytes_left, w->limits, &n->payload, err));
    charge(w, &n->payload);
    n->bytes = (struct slice){n->payload.bytes, n->payload.length};
    n->source = source_of_bytes(&n->bytes);
    return OK;
}

static enum status
open_directory(struct torch_archive *outer, const struct zip_member *m, struct torch_nested *n,
               struct err *err)
{
    struct torch_work *w = outer->work;
    struct limits limits = *w->limits;

    TRY(open_source(outer, m, n, err));
    FAIL_IF(w->nested_left <= NESTED_COST, err, LIMIT, 0,
            "the archives within it have too many members together");
    w->nested_left -= NESTED_COST;
    limits.zip_entries = w->nested_left;
    TRY(zip_directory_read(&n->source, &limits, w->in, &n->directory, err));
    FAIL_IF(n->directory.count == 0, err, MALFORMED, 0, "it has no members");
    w->nested_left -= n->directory.count < w->nested_left ? n->directory.count : w->nested_left;
    return OK;
}

/* Where torch.load finds it, it hands the archive to torch.jit.load. */
static enum status
note_script(struct torch_archive *a, const struct zip_member *m, struct err *err)
{
    if (a->root.at == NULL || torch_archive_record(a, "constants.pkl") == NULL)
        return OK;
    safety_at_least(&a->work->judge, SAFETY_UNLISTED);
    return inspection_note(a->work->in, a->work->limits, FINDING_FILE_CODE, m->name, err,
                           "a TorchScript archive within the archive, whose code was not looked "
                           "into");
}

enum status
torch_nested_open(struct torch_archive *outer, const struct zip_member *m, enum safety_role role,
                  struct torch_nested *n, bool *ret_is_open, struct err *err)
{
    struct torch_work *w = outer->work;
    const struct zip_member *main;
    struct err problem = {0};

    *ret_is_open = false;
    if (open_directory(outer, m, n, &problem) != OK)
        return note_closed(outer, m, &problem, err);
    safety_at_least(&w->judge, w->in->safety);
    TRY(torch_archive_open(w, &n->directory, &n->archive, err));
    n->archive.label = m->name;
    n->archive.is_inflated = n->payload.bytes != NULL || outer->is_inflated;
    n->archive.offset = outer->offset + m->data_offset;
    TRY(torch_archive_check_root(&n->archive, err));
    TRY(torch_archive_read_byteorder(&n->archive, err));
    TRY(note_script(&n->archive, m, err));
    main = n->archive.root.at != NULL ? torch_archive_record(&n->archive, "data.pkl") : NULL;
    if (main != NULL &&
        torch_archive_run(&n->archive, main, role, &n->main, &n->pickle, &problem) != OK)
        return note_closed(outer, m, &problem, err);
    outer->judged++;
    *ret_is_open = main != NULL && n->pickle.has_stop && !main->is_ambiguous;
    return torch_archive_judge(&n->archive, role, NULL, main, err);
}
/* NOLINTEND(misc-no-recursion) */
