#pragma once
/*
 * What daemon, zygote and child say to each other, all on SOCK_SEQPACKET sockets, so that every
 * message comes whole or not at all.
 *
 * To the zygote, on its one socket: an empty message (one zero byte) that carries the job's socket.
 *
 * On the job's socket, the daemon says
 *     struct job_request, then for each file its path with the descriptor attached;
 * and hears
 *     MESSAGE_CHILD   from the zygote: a pidfd of the child is attached, to kill it by
 *     MESSAGE_LEVEL   from a probe: struct job_level; then it tries what the filter forbids
 *     MESSAGE_DATA    from the child: the next piece of its record
 *     MESSAGE_DONE    from the child: that was all
 *     MESSAGE_FAILED  from the child: struct job_failure; what came before it, if anything, is a
 *                     record of what was found up to there
 *     MESSAGE_EXIT    from the zygote, last: struct job_exit
 * each with the type in its first byte. A child could forge the zygote's messages: nothing but
 * wording depends on them. When the daemon closes its end the zygote kills the child, whatever it does.
 */
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/slice.h"

enum {
    PROTOCOL_MAGIC = 0x636b7031, /* "ckp1" */
    MESSAGE_BYTES_MAX = 65536,
    ZYGOTE_FD = 3,
};

enum message {
    MESSAGE_CHILD = 1,
    MESSAGE_DATA,
    MESSAGE_DONE,
    MESSAGE_FAILED,
    MESSAGE_EXIT,
    MESSAGE_LEVEL,
};

struct job_request {
    uint32_t magic;
    uint32_t file_count;
    uint32_t cpu_seconds;
    uint32_t layers;   /* of the sandbox, that are wanted … */
    uint32_t needed;   /* … and without which nothing is read */
    uint32_t is_probe; /* no files: it tells its level */
    uint32_t is_one;   /* struct fileset's */
    uint32_t unused;   /* in place of padding, which would be sent unset */
    uint64_t memory_bytes;
    struct limits limits;
};

struct job_level {
    uint32_t layers;
    uint32_t landlock_abi;
};

struct job_failure {
    uint32_t code;
    uint32_t unused; /* in place of padding */
    uint64_t offset;
    char text[sizeof(((struct err *)0)->text)];
};

struct job_exit {
    int32_t wait_status;
};

/* Send one message, with a descriptor unless fd < 0. ERR_IO, also where the other side is gone. */
enum status protocol_send(int socket, const void *bytes, size_t length, int fd,
                          struct err *err) MUST_CHECK;

/* Receive one message of at most room bytes; *ret_length 0 means that the other side is gone. A
 * descriptor that came with it is *ret_fd, close-on-exec and the caller's, else -1. */
enum status protocol_receive(int socket, void *buffer, size_t room, size_t *ret_length, int *ret_fd,
                             struct err *err) MUST_CHECK;

/* As protocol_send for a type byte and a body. */
enum status protocol_say(int socket, enum message type, const void *body, size_t length, int fd,
                         struct err *err) MUST_CHECK;
