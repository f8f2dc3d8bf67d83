/*
 * Any bytes as an HDF5 file, as a Keras archive, and, where they begin with a brace, as a Keras
 * configuration. What is found must come through the inspector's record unchanged. Built for the
 * search, checksums are not looked at.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/formats/format.h"
#include "common/formats/keras_config.h"
#include "common/structure/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 24, BYTES_CAP = 1 << 22 };

static struct limits
small_limits(void)
{
    struct limits limits = limits_default();

    limits.arena_bytes = CAP;
    limits.hdf5_bytes = BYTES_CAP; /* so that a slow input is a slow parser */
    limits.header_bytes = BYTES_CAP;
    limits.tensors = 10000;
    return limits;
}

static void
check_record(const struct inspection *in, const struct limits *limits)
{
    CLEANUP(inspection_done) struct inspection back = {0};
    CLEANUP(buf_done) struct buf record = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf again = buf_with_cap(CAP);

    record_add_inspection(&record, in);
    if (buf_check(&record, NULL) != OK ||
        record_read_inspection(buf_slice_of(&record), limits, &back, NULL) != OK)
        abort();
    record_add_inspection(&again, &back);
    if (!slice_equal(buf_slice_of(&record), buf_slice_of(&again)))
        abort();
}

static void
inspect(struct slice bytes)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct source source = source_of_bytes(&bytes);
    struct fileset files = fileset_of_source(&source);
    struct limits limits = small_limits();
    struct err err = {0};
    enum status status = format_read(&files, &limits, &in, &err);

    if (status != OK && err.text[0] == '\0')
        abort(); /* each error says why */
    if (status == OK)
        check_record(&in, &limits);
}

static void
configure(struct slice text)
{
    CLEANUP(inspection_done)
    struct inspection in = {.arena = arena_with_cap(CAP), .default_container = SIZE_MAX};
    struct limits limits = small_limits();
    struct keras_summary summary = {0};

    if (keras_config_judge(&in, &limits, text, "config.json", &summary, NULL) == OK)
        check_record(&in, &limits);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = {(const char *)data, size};

    if (size > 0 && data[0] == '{')
        configure(bytes);
    else
        inspect(bytes);
    return 0;
}
