#pragma once
/*
 * Errors. A function that can fail returns an enum status, which the caller must look at, and fills
 * a caller-owned struct err with what a person needs to know. The first error wins: whoever fails
 * first knows most. Nothing here allocates, logs or touches a global.
 */
#include <stddef.h>
#include <stdint.h>

enum status {
    OK,
#define ERR(code, http, type, text) ERR_##code,
#include "common/base/err_table.h"
#undef ERR
};

struct err {
    enum status code;
    uint64_t offset; /* byte of the input at which it was noticed, 0 where that means nothing */
    char text[320];  /* complete, for a person; a longer text is cut */
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* Fill err, unless it already holds an error. err may be NULL. The text becomes UTF-8 that a terminal
 * may see: in what it quotes from a file, each byte of anything else becomes '?'. */
void err_set(struct err *err, enum status code, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Fill err with a copy of other, unless it already holds an error. */
void err_copy(struct err *err, const struct err *other);

/* The table's columns. err_name is the code's spelling in the table, "OK" for OK. */
int err_http_status(enum status code);
const char *err_problem_type(enum status code);
const char *err_title(enum status code);
const char *err_name(enum status code);

/* How many codes there are, OK included: codes read from elsewhere are held against it. */
size_t err_count(void);

/* Return the status of call if it is not OK. */
#define TRY(call) \
    do { \
        enum status try_status_ = (call); \
        if (try_status_ != OK) \
            return try_status_; \
    } while (0)

/* Fail with ERR_<code> at an offset. The code is returned as a constant, so that the compiler can
 * see which results were not written. */
#define FAIL(err, code, offset, ...) \
    do { \
        err_set((err), ERR_##code, (offset), __VA_ARGS__); \
        return ERR_##code; \
    } while (0)
#define FAIL_IF(condition, err, code, offset, ...) \
    do { \
        if (condition) \
            FAIL(err, code, offset, __VA_ARGS__); \
    } while (0)

/* Call, and say aloud that its failure does not matter here. */
#define IGNORE(call) \
    do { \
        enum status ignored_status_ = (call); \
        (void)ignored_status_; \
    } while (0)
