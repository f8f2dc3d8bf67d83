#pragma once
/* Models and their namespaces. They come into being with their first version. */
#include "common/base/arena.h"
#include "server/store/page.h"
#include "server/store/store.h"
#include "server/work/principal.h"

struct model {
    int64_t id;
    struct slice namespace; /* "vision" */
    struct slice name;      /* "resnet50" */
    int64_t created_at_us;
    uint64_t versions;     /* how many there are, in any state */
    struct slice latest;   /* label of the newest ready version; empty: there is none */
    int64_t updated_at_us; /* when its newest version was made; created_at_us before that */
};

/* ERR_NOT_FOUND. Names are matched exactly. */
enum status model_store_get(struct store *store, struct slice namespace, struct slice name,
                            struct arena *arena, struct model *ret_model,
                            struct err *err) MUST_CHECK;

struct model_list {
    struct model *models; /* ascending by namespace, name */
    size_t count;
    struct slice next; /* cursor of the next page; empty: this was the last */
};

/* Those that the principal may see; of one namespace unless that is empty. A namespace that is not there,
 * or may not be seen, gives an empty list. ERR_BAD_REQUEST: not a cursor of this list. */
enum status model_store_list(struct store *store, const struct principal *who,
                             struct slice namespace, const struct page *page, struct arena *arena,
                             struct model_list *ret_list, struct err *err) MUST_CHECK;
