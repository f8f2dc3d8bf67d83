#include "common/structure/inspection.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    enum severity severity;
} findings[FINDING_COUNT] = {
#define FINDING(code, id, severity) [FINDING_##code] = {id, SEVERITY_##severity},
#include "common/structure/finding_table.h"
#undef FINDING
};

static const char *const kinds[CONTAINER_KIND_COUNT] = {
    [CONTAINER_WEIGHTS] = "weights",     [CONTAINER_EMA] = "ema",
    [CONTAINER_ADAPTER] = "adapter",     [CONTAINER_QUANTIZED] = "quantized",
    [CONTAINER_OPTIMIZER] = "optimizer", [CONTAINER_FRAGMENT] = "fragment",
    [CONTAINER_MODULE] = "module",       [CONTAINER_OUTER] = "outer",
};

static const char *const safeties[SAFETY_COUNT] = {
    [SAFETY_CLEAN] = "clean",
    [SAFETY_UNLISTED] = "unlisted",
    [SAFETY_MALFORMED] = "malformed",
    [SAFETY_DANGEROUS] = "dangerous",
};

void
inspection_done(struct inspection *in)
{
    arena_done(&in->arena);
    *in = (struct inspection){0};
}

/* Room for one more: the list doubles in the arena, so the waste is bounded by its size. */
static enum status
grow_findings(struct inspection *in, struct err *err)
{
    size_t count = in->finding_count;
    struct finding *list;

    if (count > 0 && (count & (count - 1)) != 0)
        return OK;
    list = arena_alloc(&in->arena, count == 0 ? 1 : count * 2, sizeof *list);
    if (list == NULL)
        return arena_fail(&in->arena, err);
    if (count > 0)
        memcpy(list, in->findings, count * sizeof *list);
    in->findings = list;
    return OK;
}

enum status
inspection_note(struct inspection *in, const struct limits *limits, enum finding_id id,
                struct slice subject, struct err *err, const char *message, ...)
{
    struct finding *finding;
    char text[512];
    va_list arguments;
    int length;

    if (in->finding_count >= limits->findings) {
        in->findings_dropped++;
        return OK;
    }
    TRY(grow_findings(in, err));
    finding = &in->findings[in->finding_count];
    *finding = (struct finding){.id = id};
    if (subject.length > limits->name_bytes)
        subject.length = limits->name_bytes;
    TRY(arena_copy(&in->arena, subject, &finding->subject, err));
    va_start(arguments, message);
    length = vsnprintf(text, sizeof text, message, arguments);
    va_end(arguments);
    FAIL_IF(length < 0, err, INTERNAL, 0, "a message that cannot be formatted");
    TRY(arena_copy(&in->arena, slice_of(text), &finding->message, err));
    in->finding_count++;
    return OK;
}

const struct container *
inspection_container(const struct inspection *in, struct slice path)
{
    for (size_t i = 0; i < in->container_count; i++)
        if (slice_equal(in->containers[i].path, path))
            return &in->containers[i];
    return NULL;
}

const struct container *
inspection_default(const struct inspection *in)
{
    return in->default_container < in->container_count ? &in->containers[in->default_container]
                                                       : NULL;
}

const char *
container_kind_name(enum container_kind kind)
{
    return kinds[kind];
}

const char *
severity_name(enum severity severity)
{
    static const char *const names[SEVERITY_COUNT] = {
        [SEVERITY_INFO] = "info", [SEVERITY_WARNING] = "warning", [SEVERITY_ERROR] = "error"};

    return names[severity];
}

const char *
safety_name(enum safety safety)
{
    return safeties[safety];
}

const char *
finding_name(enum finding_id id)
{
    return findings[id].name;
}

enum severity
finding_severity(enum finding_id id)
{
    return findings[id].severity;
}

enum severity
finding_level(const struct finding *finding)
{
    return finding->is_vouched ? SEVERITY_INFO : finding_severity(finding->id);
}

enum container_kind
container_kind_find(struct slice name)
{
    enum container_kind kind = 0;

    while (kind < CONTAINER_KIND_COUNT && !slice_is(name, kinds[kind]))
        kind++;
    return kind;
}

enum safety
safety_find(struct slice name)
{
    enum safety safety = 0;

    while (safety < SAFETY_COUNT && !slice_is(name, safeties[safety]))
        safety++;
    return safety;
}

enum finding_id
finding_find(struct slice name)
{
    enum finding_id id = 0;

    while (id < FINDING_COUNT && !slice_is(name, findings[id].name))
        id++;
    return id;
}
