#include "common/render/render.h"

const struct rendering renderings[] = {
    {"json", "application/json", render_json},
    {"text", "text/plain; charset=utf-8", render_text},
    {NULL, NULL, NULL},
};

const struct rendering *
render_find(struct slice name)
{
    for (const struct rendering *row = renderings; row->name != NULL; row++) {
        if (slice_is(name, row->name))
            return row;
    }
    return NULL;
}
