#include "server/store/stmt.h"
#include "server/store/within.h"

static const struct query NEXT = {
    "UPDATE counter SET value = value + 1 WHERE name = $1 RETURNING value", "t", "i"};

enum status
counter_store_next(struct db *db, const char *name, int64_t *ret_number, struct err *err)
{
    return stmt_number(db, &NEXT, VALUES(WORD(name)), ret_number, NULL, err);
}
