/*
 * Sources: RFC 9112 §2.3, §3.2, §5, §6 (framing), RFC 9110 §5.6.2 (tokens), §7.2 (Host), §10.1.1
 * (Expect); Fetch Metadata for Sec-Fetch-Site. Where the RFC lets a server repair, we refuse: every
 * client worth having sends the plain form.
 */
#include "server/http/gate.h"

#include <string.h>
#include <strings.h>

#include "common/base/attr.h"
#include "common/base/num.h"

static bool
is_token_char(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool
is_token(struct slice s)
{
    for (size_t i = 0; i < s.length; i++)
        if (!is_token_char(s.at[i]))
            return false;
    return s.length > 0;
}

/* No control characters; a tab is white space. */
static bool
is_plain_value(struct slice s)
{
    for (size_t i = 0; i < s.length; i++)
        if (((unsigned char)s.at[i] < 0x20 && s.at[i] != '\t') || s.at[i] == 0x7f)
            return false;
    return true;
}

static bool
is_text(struct slice s, const char *text)
{
    return s.length == strlen(text) && strncasecmp(s.at, text, s.length) == 0;
}

static bool
starts_text(struct slice s, const char *text)
{
    return s.length >= strlen(text) && strncasecmp(s.at, text, strlen(text)) == 0;
}

/* The header's value; how often it was sent. */
static struct slice
header(const struct gate_input *in, const char *name, size_t *ret_count)
{
    struct slice value = {0};

    *ret_count = 0;
    for (size_t i = 0; i < in->header_count; i++)
        if (is_text(in->headers[i].name, name)) {
            value = in->headers[i].value;
            (*ret_count)++;
        }
    return value;
}

static enum status
check_headers(const struct gate_rules *rules, const struct gate_input *in, struct err *err)
{
    size_t bytes = 0;

    FAIL_IF(in->header_count > rules->header_count, err, HEADER_TOO_LARGE, 0,
            "%zu headers; the limit is %zu", in->header_count, rules->header_count);
    for (size_t i = 0; i < in->header_count; i++) {
        struct slice name = in->headers[i].name, value = in->headers[i].value;

        bytes += name.length + value.length + sizeof ": \r\n" - 1;
        FAIL_IF(!is_token(name), err, BAD_REQUEST, 0, "a header's name is not a token");
        FAIL_IF(!is_plain_value(value), err, BAD_REQUEST, 0,
                "a control character in the header \"%.*s\"",
                name.length > 40 ? 40 : (int)name.length, name.at);
        /* A folded line is glued to the name before it: "Content-Length:\r\n 3" (RFC 9112 §5.2). */
        FAIL_IF((starts_text(name, "content-length") && !is_text(name, "content-length")) ||
                    (starts_text(name, "transfer-encoding") && !is_text(name, "transfer-encoding")),
                err, BAD_REQUEST, 0, "a header that only looks like a length");
    }
    FAIL_IF(bytes > rules->header_bytes, err, HEADER_TOO_LARGE, 0,
            "%zu bytes of headers; the limit is %zu", bytes, rules->header_bytes);
    return OK;
}

/* Those of which a second one could be read another way by somebody else. */
static enum status
check_single(const struct gate_input *in, struct err *err)
{
    static const char *const single[] = {
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Content-Type",
        "Content-Encoding",
        "Expect",
        "Authorization",
        "Range",
        "If-Range",
        "Origin",
        "Sec-Fetch-Site",
        "Content-Range",
        "Upload-Offset",
        "Upload-Length",
    };
    size_t count;

    for (size_t i = 0; i < ARRAY_LENGTH(single); i++) {
        (void)header(in, single[i], &count);
        FAIL_IF(count > 1, err, BAD_REQUEST, 0, "the header %s was sent %zu times", single[i],
                count);
    }
    return OK;
}

static enum status
check_line(const struct gate_rules *rules, const struct gate_input *in, struct gate_output *out,
           struct err *err)
{
    static const struct {
        const char *name;
        enum method method;
    } methods[] = {
        {"GET", METHOD_GET},   {"HEAD", METHOD_GET},    {"PUT", METHOD_PUT},
        {"POST", METHOD_POST}, {"PATCH", METHOD_PATCH}, {"DELETE", METHOD_DELETE},
    };

    FAIL_IF(!slice_is(in->version, "HTTP/1.1") && !slice_is(in->version, "HTTP/1.0"), err,
            HTTP_VERSION, 0, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    FAIL_IF(!is_token(in->method), err, BAD_REQUEST, 0, "the method is not a token");
    FAIL_IF(in->uri.length == 0, err, BAD_REQUEST, 0, "an empty URI");
    FAIL_IF(in->uri.length > rules->uri_bytes, err, URI_TOO_LONG, 0,
            "a URI of %zu bytes; the limit is %zu", in->uri.length, rules->uri_bytes);
    for (size_t i = 0; i < in->uri.length; i++)
        FAIL_IF((unsigned char)in->uri.at[i] <= 0x20 || in->uri.at[i] == 0x7f, err, BAD_REQUEST, i,
                "a space or control character in the URI");
    for (size_t i = 0; i < ARRAY_LENGTH(methods); i++)
        if (slice_is(in->method, methods[i].name)) {
            out->is_known_method = true;
            out->method = methods[i].method;
        }
    out->is_head = slice_is(in->method, "HEAD");
    out->is_options = slice_is(in->method, "OPTIONS");
    return OK;
}

/* Content-Length or chunks, in exactly one reading (RFC 9112 §6). */
static enum status
check_framing(const struct gate_input *in, struct gate_output *out, struct err *err)
{
    size_t lengths, encodings, expectations, codings;
    struct slice length = header(in, "Content-Length", &lengths);
    struct slice encoding = header(in, "Transfer-Encoding", &encodings);
    struct slice expect = header(in, "Expect", &expectations);
    struct slice coding = header(in, "Content-Encoding", &codings);

    FAIL_IF(lengths > 0 && encodings > 0, err, BAD_REQUEST, 0,
            "both Content-Length and Transfer-Encoding");
    FAIL_IF(encodings > 0 && !is_text(encoding, "chunked"), err, BAD_REQUEST, 0,
            "a Transfer-Encoding other than chunked");
    FAIL_IF(encodings > 0 && slice_is(in->version, "HTTP/1.0"), err, BAD_REQUEST, 0,
            "Transfer-Encoding in HTTP/1.0");
    if (lengths > 0) {
        for (size_t i = 0; i < length.length; i++)
            FAIL_IF(length.at[i] < '0' || length.at[i] > '9', err, BAD_REQUEST, 0,
                    "Content-Length is not a number");
        while (length.length > 1 && length.at[0] == '0')
            length = slice_from(length, 1);
        FAIL_IF(!num_parse_u64(length, &out->length), err, BAD_REQUEST, 0,
                "Content-Length is not a number");
        out->has_length = true;
    }
    out->has_body = encodings > 0 || out->length > 0;
    FAIL_IF(expectations > 0 && !is_text(expect, "100-continue"), err, EXPECTATION, 0,
            "an Expect other than 100-continue");
    out->expects_continue = expectations > 0 && out->has_body;
    FAIL_IF(codings > 0 && out->has_body && !is_text(coding, "identity"), err, MEDIA_TYPE, 0,
            "bodies are taken as they are, without Content-Encoding");
    return OK;
}

/* "name:80", "[::1]:80", "name": the part before the port. False if it is neither. */
static bool
split_host(struct slice host, struct slice *ret_name)
{
    struct slice port, name;

    if (host.length > 0 && host.at[0] == '[') {
        port = host;
        name = slice_cut(&port, ']');
        if (port.at == NULL)
            return false;
        name = slice_from(name, 1);
        if (port.length == 0)
            port = (struct slice){0};
        else if (port.at[0] != ':')
            return false;
        else
            port = slice_from(port, 1);
    } else {
        port = host;
        name = slice_cut(&port, ':');
    }
    for (size_t i = 0; i < port.length; i++)
        if (port.at[i] < '0' || port.at[i] > '9')
            return false;
    *ret_name = name;
    return name.length > 0 && port.length <= 5;
}

static bool
is_own_host(const struct gate_rules *rules, struct slice host, struct slice name,
            struct slice local)
{
    static const char *const loopback[] = {"localhost", "127.0.0.1", "::1"};

    if (name.length > 1 && name.at[name.length - 1] == '.') /* a name's root dot */
        name.length--;
    for (size_t i = 0; i < ARRAY_LENGTH(loopback); i++)
        if (is_text(name, loopback[i]))
            return true;
    for (size_t i = 0; rules->hosts != NULL && rules->hosts[i] != NULL; i++)
        if (is_text(name, rules->hosts[i]) || is_text(host, rules->hosts[i]) ||
            strcmp(rules->hosts[i], "*") == 0)
            return true;
    /* The very address that was dialled: a name that DNS was made to point here is not that. */
    return local.length > 0 && slice_equal(name, local);
}

/* A page of another site can make a browser send requests here: by DNS tricks with a name of its own
 * in Host, which therefore must be ours. */
static enum status
check_host(const struct gate_rules *rules, const struct gate_input *in, struct slice authority,
           struct slice *ret_host, struct err *err)
{
    struct slice name;
    size_t count;

    *ret_host = header(in, "Host", &count);
    if (count == 0 && slice_is(in->version, "HTTP/1.0"))
        return OK; /* no browser */
    FAIL_IF(count == 0, err, BAD_REQUEST, 0, "the Host header is missing");
    if (authority.at != NULL)
        *ret_host = authority; /* RFC 9112 §3.2.2: it replaces Host */
    FAIL_IF(!split_host(*ret_host, &name), err, BAD_REQUEST, 0, "the Host header is malformed");
    FAIL_IF(!is_own_host(rules, *ret_host, name, in->local), err, BAD_HOST, 0,
            "\"%.*s\" is not a name of this server; it may be added with --public-url",
            name.length > 100 ? 100 : (int)name.length, name.at);
    return OK;
}

/* "http://host:port" of the request's own Host, or a listed one. */
static bool
is_own_origin(const struct gate_rules *rules, struct slice origin, struct slice host)
{
    struct slice authority;

    for (size_t i = 0; rules->origins != NULL && rules->origins[i] != NULL; i++)
        if (is_text(origin, rules->origins[i]))
            return true;
    if (starts_text(origin, "http://"))
        authority = slice_from(origin, sizeof "http://" - 1);
    else if (starts_text(origin, "https://"))
        authority = slice_from(origin, sizeof "https://" - 1);
    else
        return false;
    return host.length > 0 && authority.length == host.length &&
           strncasecmp(authority.at, host.at, host.length) == 0;
}

static enum status
check_site(const struct gate_rules *rules, const struct gate_input *in,
           const struct gate_output *out, struct slice host, struct err *err)
{
    size_t sites, origins;
    struct slice site = header(in, "Sec-Fetch-Site", &sites);
    struct slice origin = header(in, "Origin", &origins);
    bool is_own = origins > 0 && is_own_origin(rules, origin, host);

    if (out->is_options || (out->is_known_method && out->method == METHOD_GET))
        return OK;
    FAIL_IF(origins > 0 && !is_own, err, CROSS_SITE, 0,
            "a page of the origin \"%.*s\" may not change anything here",
            origin.length > 100 ? 100 : (int)origin.length, origin.at);
    FAIL_IF(sites > 0 && !is_own && !is_text(site, "same-origin") && !is_text(site, "none"), err,
            CROSS_SITE, 0, "a page of another site may not change anything here");
    return OK;
}

/* "/path?query", "http://host/path?query", "*" (RFC 9112 §3.2). */
static enum status
split_target(const struct gate_input *in, struct gate_output *out, struct slice *ret_authority,
             struct err *err)
{
    struct slice rest = in->uri;

    *ret_authority = (struct slice){0};
    if (starts_text(rest, "http://")) {
        struct slice after = slice_from(rest, sizeof "http://" - 1);
        size_t length = 0;

        while (length < after.length && after.at[length] != '/' && after.at[length] != '?')
            length++;
        *ret_authority = slice_part(after, 0, length);
        rest = slice_from(after, length);
        if (rest.length == 0)
            rest = slice_of("/");
    }
    out->path = slice_cut(&rest, '?');
    out->query = rest;
    FAIL_IF(memchr(in->uri.at, '#', in->uri.length) != NULL, err, BAD_REQUEST, 0,
            "a fragment does not belong into a request");
    if (out->is_options && slice_is(out->path, "*"))
        return OK;
    FAIL_IF(out->path.length == 0 || out->path.at[0] != '/', err, BAD_REQUEST, 0,
            "the path does not begin with a slash");
    return OK;
}

enum status
gate_check(const struct gate_rules *rules, const struct gate_input *in, struct gate_output *ret_out,
           struct err *err)
{
    struct slice host, authority;

    *ret_out = (struct gate_output){0};
    TRY(check_line(rules, in, ret_out, err));
    TRY(check_headers(rules, in, err));
    TRY(check_single(in, err));
    TRY(check_framing(in, ret_out, err));
    TRY(split_target(in, ret_out, &authority, err));
    TRY(check_host(rules, in, authority, &host, err));
    return check_site(rules, in, ret_out, host, err);
}
