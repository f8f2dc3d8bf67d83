#pragma once
/* The one place that turns a struct err into problem+json (RFC 9457). */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "server/http/reply.h"

#define PROBLEM_MEDIA_TYPE "application/problem+json"

/* Append the object: type, title, status, detail, request_id, then the reply's members. */
void problem_write(struct buf *out, const struct err *err, struct slice request_id,
                   const struct reply *members);

/* Turn the reply into the error's; its headers and members stay, Retry-After comes with a 503. An
 * error without a text gets its title as detail. */
void problem_reply(struct reply *r, const struct err *err, struct slice request_id);
