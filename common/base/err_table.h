/* Every error that can leave a function of ours: ERR(code, HTTP status, problem type, title). The
 * type and the status are part of the HTTP contract; openapi.yaml lists them and a lint test holds
 * the two together. */

/* What a file is. */
ERR(TRUNCATED, 422, "truncated-input", "The input ends early")
ERR(MALFORMED, 422, "malformed-input", "The input breaks its format's rules")
ERR(UNSUPPORTED, 422, "unsupported-input", "The input uses a part of its format that is not read")
ERR(UNRECOGNIZED, 422, "unrecognized-input", "The input is no checkpoint of a known format")
ERR(LIMIT, 413, "limit-exceeded", "A limit was reached")

/* What a request says. */
ERR(BAD_REQUEST, 400, "bad-request", "The request is malformed")
ERR(BAD_HOST, 421, "misdirected-request", "The Host is not one of this server's names")
ERR(BAD_NAME, 400, "bad-name", "A name breaks the rules for names")
ERR(BAD_JSON, 400, "bad-json", "The body is not well-formed JSON")
ERR(BAD_MANIFEST, 422, "bad-manifest", "The manifest is well-formed, but wrong")
ERR(BAD_REMAP, 422, "bad-remap", "The remap is well-formed, but wrong")
ERR(UNAUTHORIZED, 401, "unauthorized", "A token is needed")
ERR(FORBIDDEN, 403, "forbidden", "Not allowed")
ERR(CROSS_SITE, 403, "cross-site", "A page of another site may not do this")
ERR(NOT_FOUND, 404, "not-found", "There is no such thing")
ERR(METHOD, 405, "method-not-allowed", "This resource does not have that method")
ERR(TIMEOUT, 408, "timeout", "It took too long")
ERR(CONFLICT, 409, "conflict", "It contradicts what is stored")
ERR(LABEL_TAKEN, 409, "label-taken", "The label belongs to other bytes")
ERR(NOT_READY, 409, "not-ready", "The version is not in a state for this")
ERR(LENGTH_REQUIRED, 411, "length-required", "The length must be told")
ERR(PRECONDITION, 412, "precondition-failed", "A precondition does not hold")
ERR(BODY_TOO_LARGE, 413, "body-too-large", "The body is larger than allowed")
ERR(MEDIA_TYPE, 415, "unsupported-media-type", "The body's media type cannot be read here")
ERR(RANGE, 416, "range-not-satisfiable", "The range lies outside the file")
ERR(DIGEST_MISMATCH, 422, "digest-mismatch",
    "The bytes received have another digest than announced")
ERR(HEADER_TOO_LARGE, 431, "header-too-large", "The request's header is too large")

/* What the machine says. */
ERR(NO_MEMORY, 503, "out-of-memory", "Out of memory")
ERR(IO, 500, "io-error", "Reading or writing failed")
ERR(INSPECTOR, 500, "inspector-failed", "The inspector ended without an answer")
ERR(STORE, 500, "store-error", "The database failed")
ERR(STORE_SUSPECT, 503, "store-suspect", "Storage failed; nothing is acknowledged until a restart")
ERR(INTERNAL, 500, "internal-error", "A defect of the server")
ERR(NOT_IMPLEMENTED, 501, "not-implemented", "This is not offered")
ERR(BUSY, 503, "busy", "The server has too much to do")
ERR(PENDING, 503, "inspection-pending", "The inspection has not ended yet")
ERR(DRAINING, 503, "draining", "The server is stopping")
ERR(NO_SPACE, 507, "no-space", "There is no room for this")

/* More of what a request says. */
ERR(URI_TOO_LONG, 414, "uri-too-long", "The path and query are too long")
ERR(EXPECTATION, 417, "expectation-failed", "An Expect that is not known")
ERR(HTTP_VERSION, 505, "http-version", "Only HTTP/1.0 and HTTP/1.1 are spoken")
ERR(FILES_DIFFER, 409, "files-differ", "The version does not have the files that were expected")
