#pragma once
/*
 * The gate: what no route ever sees. libmicrohttpd 0.9.75 lets several shapes through with which two
 * parsers in a row can be made to disagree about where a request ends; here every one that can still
 * be recognised is refused. Pure: it looks at what was parsed, and decides.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "server/http/request.h"

struct gate_rules {
    size_t header_count;
    size_t header_bytes;
    size_t uri_bytes;
    const char *const *hosts;   /* allowed besides loopback's names; NULL-terminated, or NULL. With
                                 * a port only that one, else any; "*" is any host */
    const char *const *origins; /* allowed besides the Host's own; the same */
};

struct gate_input {
    struct slice method;
    struct slice version; /* "HTTP/1.1" */
    struct slice uri;     /* raw, with its query */
    const struct pair *headers;
    size_t header_count;
    struct slice local; /* the numeric address that the connection came to, without a port */
};

struct gate_output {
    bool is_known_method; /* method is set */
    bool is_head;
    bool is_options;
    enum method method;
    bool has_body; /* one is announced */
    bool has_length;
    uint64_t length;
    bool expects_continue;
    struct slice path;  /* of the uri, raw */
    struct slice query; /* the same; at == NULL: none */
};

enum status gate_check(const struct gate_rules *rules, const struct gate_input *in,
                       struct gate_output *ret_out, struct err *err) MUST_CHECK;
