#include "common/render/inspection_text.h"

#include "common/base/attr.h"
#include "common/base/utf8.h"

enum { NAME_COLUMN_MAX = 72 };

void
inspection_text_bytes(struct buf *out, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    if (bytes < 1024) {
        buf_printf(out, "%u B", (unsigned)bytes);
        return;
    }
    for (value /= 1024; value >= 1024 && unit + 1 < ARRAY_LENGTH(units); unit++)
        value /= 1024;
    buf_printf(out, value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void
inspection_text_count(struct buf *out, uint64_t count)
{
    char digits[27];
    size_t at = sizeof digits, written = 0;

    do {
        if (written > 0 && written % 3 == 0)
            digits[--at] = ' ';
        digits[--at] = (char)('0' + count % 10);
        written++;
    } while ((count /= 10) > 0);
    buf_add(out, digits + at, sizeof digits - at);
}

static void
add_label(struct buf *out, const char *label)
{
    buf_printf(out, "%-13s", label);
}

static void
add_containers(struct buf *out, const struct inspection *in)
{
    const struct container *chosen = inspection_default(in);

    for (size_t i = 0; i < in->container_count; i++) {
        const struct container *c = &in->containers[i];

        if (c->kind == CONTAINER_OUTER)
            continue;
        add_label(out, c == chosen ? "state dict" : "  also");
        if (c->path.length == 0)
            buf_text(out, "the file's top");
        else
            utf8_clean(out, c->path);
        buf_printf(out, " (%s): ", container_kind_name(c->kind));
        inspection_text_count(out, c->structure.count);
        buf_text(out, " tensors, ");
        inspection_text_count(out, structure_elements(&c->structure));
        buf_text(out, " elements, ");
        inspection_text_bytes(out, structure_bytes(&c->structure));
        buf_char(out, '\n');
    }
    if (chosen == NULL)
        buf_text(out, "state dict   none: the file holds no tensors that could be weights\n");
}

static void
add_tensors(struct buf *out, const struct container *c)
{
    size_t width = 0;

    for (size_t i = 0; i < c->structure.count; i++) {
        size_t length = c->structure.tensors[i].name.length;

        if (length > width && length <= NAME_COLUMN_MAX)
            width = length;
    }
    buf_char(out, '\n');
    for (size_t i = 0; i < c->structure.count; i++) {
        const struct tensor *t = &c->structure.tensors[i];
        size_t start = out->length;

        utf8_clean(out, t->name);
        for (size_t shown = out->length - start; shown < width; shown++)
            buf_char(out, ' ');
        buf_printf(out, "  %-9s ", dtype_name(t->dtype));
        shape_print(out, t->shape);
        buf_char(out, '\n');
    }
}

static void
add_weights_only(struct buf *out, const struct weights_only *wo)
{
    if (!wo->applies)
        return;
    add_label(out, "weights_only");
    if (wo->loads) {
        buf_text(out, "torch.load(weights_only=True) takes it\n");
        return;
    }
    buf_text(out, "torch.load(weights_only=True) refuses it");
    if (wo->reason.length > 0) {
        buf_text(out, ": ");
        utf8_clean(out, wo->reason);
    } else if (wo->need_count > 0) {
        buf_text(out, " without\n             torch.serialization.add_safe_globals([");
        for (size_t i = 0; i < wo->need_count; i++) {
            buf_text(out, i > 0 ? ", " : "");
            utf8_clean(out, wo->needs[i]);
        }
        buf_text(out, "])");
    }
    buf_char(out, '\n');
}

void
inspection_text_safety(struct buf *out, const struct inspection *in)
{
    static const char *const meanings[SAFETY_COUNT] = {
        [SAFETY_CLEAN] = "clean: nothing in it runs code",
        [SAFETY_UNLISTED] = "unlisted: it names code that nobody vouches for",
        [SAFETY_MALFORMED] =
            "malformed: parts of it cannot be read, or readers would disagree about them",
        [SAFETY_DANGEROUS] = "dangerous: loading it may run whatever its author wished. Do not.",
    };

    add_label(out, "safety");
    buf_printf(out, "%s\n", meanings[in->safety]);
    add_weights_only(out, &in->weights_only);
    for (size_t i = 0; i < in->finding_count; i++) {
        const struct finding *f = &in->findings[i];

        add_label(out, severity_name(finding_level(f)));
        buf_text(out, finding_name(f->id));
        if (f->subject.length > 0) {
            buf_char(out, ' ');
            utf8_clean(out, f->subject);
        }
        buf_text(out, ": ");
        utf8_clean(out, f->message);
        buf_char(out, '\n');
    }
    if (in->findings_dropped > 0)
        buf_printf(out, "             and %zu more findings\n", in->findings_dropped);
}

void
inspection_text(struct buf *out, const struct inspection *in, bool with_tensors)
{
    const struct container *c = inspection_default(in);

    add_label(out, "format");
    utf8_clean(out, in->format);
    buf_char(out, '\n');
    add_containers(out, in);
    if (in->metadata.length > 2) {
        add_label(out, "metadata");
        utf8_clean(out, in->metadata);
        buf_char(out, '\n');
    }
    inspection_text_safety(out, in);
    if (with_tensors && c != NULL)
        add_tensors(out, c);
}
