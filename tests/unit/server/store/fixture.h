#pragma once
/* For the store's tests: an open store in a folder of its own, versions and inspections to put in. */
#include <check.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/formats/builder.h"
#include "server/store/inspection_store.h"
#include "server/store/store.h"
#include "server/store/version_store.h"
#include "tests/support/folder.h"

struct fixture {
    struct folder folder;
    struct store *store;
    struct arena arena;
    struct err err;
};

static inline struct fixture
fixture_open(void)
{
    struct fixture f = {.folder = folder_make(), .arena = arena_with_cap(64 << 20)};
    struct store_config config = store_config_default();

    config.directory = f.folder.path;
    config.ballast_bytes = 0;
    ck_assert_msg(store_open(&config, &f.store, &f.err) == OK, "%s", f.err.text);
    return f;
}

static inline void
fixture_done(struct fixture *f)
{
    store_free(f->store);
    arena_done(&f->arena);
    folder_done(&f->folder);
}

#define FIXTURE(f) CLEANUP(fixture_done) struct fixture f = fixture_open()

/* The call succeeds, or the test fails with its error's text. */
#define GOES_WELL(f, call) \
    do { \
        (f)->err = (struct err){0}; \
        ck_assert_msg((call) == OK, "%s: %s", err_name((f)->err.code), (f)->err.text); \
    } while (0)

#define FAILS_WITH(f, code_, call) \
    do { \
        (f)->err = (struct err){0}; \
        ck_assert_str_eq(err_name(call), #code_); \
    } while (0)

/* Bytes that are told apart by one number. */
static inline struct digest
digest_of(unsigned number)
{
    struct digest d;

    ck_assert_int_eq(hash_bytes(&number, sizeof number, &d, NULL), OK);
    return d;
}

/* Commit ns/model/label with one file of those bytes. */
static inline struct version_commit
commit_with(struct fixture *f, struct version_new v, unsigned bytes)
{
    struct version_file file = {slice_of("model.pth"), 1000 + bytes, digest_of(bytes)};
    struct version_commit result = {0};

    v.files = &file;
    v.file_count = 1;
    v.reader_revision = 1;
    if (v.by == NULL)
        v.by = "local";
    GOES_WELL(f, version_store_commit(f->store, &v, &result, &f->err));
    return result;
}

static inline struct version_commit
commit_bytes(struct fixture *f, const char *label, unsigned bytes)
{
    return commit_with(f,
                       (struct version_new){.namespace = slice_of("vision"),
                                            .model = slice_of("resnet50"),
                                            .label = slice_of(label)},
                       bytes);
}

/* An inspection with one container "state_dict" of some tensors, one finding, one need. */
static inline void
fill_inspection(struct inspection *in, const struct limits *limits, unsigned tensors)
{
    CLEANUP(builder_done) struct builder b = {0};
    struct slice *needs;

    *in = (struct inspection){.arena = arena_with_cap(64 << 20), .default_container = 0};
    builder_begin(&b, in, limits);
    for (unsigned i = 0; i < tensors; i++) {
        struct built_tensor t = {.storage = i + 1};
        uint64_t *dims = arena_alloc(&in->arena, 2, sizeof *dims);

        ck_assert_ptr_nonnull(dims);
        dims[0] = i + 1;
        dims[1] = 3;
        ck_assert_int_eq(arena_printf(&in->arena, &t.tensor.name, NULL, "layer%u.weight", i), OK);
        t.tensor.dtype = DTYPE_FLOAT32;
        t.tensor.shape = (struct shape){.rank = 2, .dims = dims};
        t.place = (struct place){.has_bytes = true,
                                 .offset = 64ULL * i,
                                 .stored_bytes = 12 * (i + 1),
                                 .storage_bytes = 12 * (i + 1)};
        ck_assert_int_eq(builder_tensor(&b, &t, NULL), OK);
    }
    ck_assert_int_eq(builder_finish(&b, slice_of("state_dict"), CONTAINER_WEIGHTS, NULL), OK);
    in->default_container = 0;
    in->format = slice_of("torch-zip");
    in->metadata = slice_of("{\"epoch\":90}");
    in->safety = SAFETY_UNLISTED;
    needs = arena_alloc(&in->arena, 1, sizeof *needs);
    ck_assert_ptr_nonnull(needs);
    needs[0] = slice_of("my.Config");
    in->weights_only = (struct weights_only){.applies = true, .needs = needs, .need_count = 1};
    ck_assert_int_eq(inspection_note(in, limits, FINDING_PICKLE_GLOBAL_UNLISTED,
                                     slice_of("my.Config"), NULL, "a global of %s", "yours"),
                     OK);
}
