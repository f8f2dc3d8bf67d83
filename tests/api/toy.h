#pragma once
/*
 * An HTTP server with a few toy routes, in this process, and a client that is a plain socket: what
 * the tests of server/http need. Nothing here knows the library below.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/http/httpd.h"

struct toy {
    struct httpd *httpd;
    struct pool *pools[ROUTE_POOL_COUNT];
    struct log *log;
    /* Counted by the upload's callbacks. */
    _Atomic unsigned begun, finished, aborted, freed;
    _Atomic uint64_t written;
    _Atomic unsigned running;  /* handlers of /slow */
    _Atomic unsigned released; /* shared bodies let go, producers freed */
};

/* Started on a free port of 127.0.0.1; limits all zero: the defaults. authorize may be NULL. */
void toy_start(struct toy *toy, struct httpd_limits limits, unsigned threads, size_t queue);
void toy_start_guarded(struct toy *toy, httpd_authorize *authorize);
void toy_stop(struct toy *toy, uint64_t drain_ms);

/* The byte at that offset of a body sent to /upload/checked. */
unsigned char toy_byte(uint64_t offset);

int toy_connect(const struct toy *toy);

/* All of the text; false if the socket does not take it. */
bool toy_send(int fd, const char *bytes, size_t length);

/* Read one whole response (100 Continue before it is skipped) into a NUL-terminated text that is
 * the caller's to free: status line, header and body, chunks undone. NULL at the end of the
 * connection or after 10 s. Bytes after it stay in the socket's reader. */
struct reader {
    int fd;
    char *bytes;
    size_t length, capacity;
    size_t continues; /* 100 Continue seen */
};
struct response {
    int status;
    char *head; /* with its blank line, NUL-terminated */
    char *body; /* NUL-terminated */
    size_t body_length;
};
bool reader_next(struct reader *r, bool is_head, struct response *ret_response);
/* False: bytes came before the end of the connection, or it did not end within 10 s. */
bool reader_ended(struct reader *r);
void reader_done(struct reader *r);
void response_done(struct response *r);
/* The header's value as a text of static size 256; "" if absent. */
const char *response_header(const struct response *r, const char *name, char value[256]);

/* Connect, send, read one response, close. */
struct response toy_ask(const struct toy *toy, const char *request);
