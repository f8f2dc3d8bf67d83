#pragma once
/* The listening socket. */
#include "common/base/err.h"

/*
 * "127.0.0.1:8420", "[::1]:0", "localhost:8420" (numeric addresses and localhost only), or
 * "unix:/path", whose stale socket is replaced. *ret_port is 0 and *ret_path the caller's to mem_free
 * for the latter; else *ret_path is NULL.
 */
enum status listen_on(const char *address, int *ret_fd, unsigned *ret_port, char **ret_path,
                      struct err *err) MUST_CHECK;
