#pragma once
/*
 * Renderings of a report: one file each, one table.
 */
#include "common/compat/report.h"

struct render_options {
    bool has_colour; /* a terminal that wants it */
};

struct rendering {
    const char *name;       /* "json": of ?format= and --format */
    const char *media_type; /* of the reply, and what Accept is held against */
    void (*render)(const struct report *r, const struct render_options *options, struct buf *out);
};

/* NULL-named row ends the table. */
extern const struct rendering renderings[];

/* NULL where there is none of that name. */
const struct rendering *render_find(struct slice name);

void render_json(const struct report *r, const struct render_options *options, struct buf *out);
void render_text(const struct report *r, const struct render_options *options, struct buf *out);
