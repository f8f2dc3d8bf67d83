/* The three calls of landlock(7), which no libc wraps, and the rights of include/uapi/linux/landlock.h
 * up to ABI 7; Debian 12's copy of that header ends at ABI 2, so they are told here. */
#include "server/inspector/landlock.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/attr.h"

enum { CREATE_RULESET_VERSION = 1 };

/* As the kernel reads it; older ones take a shorter one, or one whose rest is zero. */
struct ruleset {
    uint64_t files;  /* handled_access_fs */
    uint64_t net;    /* handled_access_net, from ABI 4 */
    uint64_t scoped; /* from ABI 6 */
};

/* What each version brought. */
static const struct {
    uint32_t abi;
    struct ruleset rights;
} brought[] = {
    {1, {.files = 0x1fff}},            /* execute, read, write, make and remove of every kind */
    {2, {.files = UINT64_C(1) << 13}}, /* link and rename to another directory */
    {3, {.files = UINT64_C(1) << 14}}, /* truncate */
    {4, {.net = 0x3}},                 /* bind and connect of TCP */
    {5, {.files = UINT64_C(1) << 15}}, /* ioctl of devices */
    {6, {.scoped = 0x3}},              /* abstract UNIX sockets, signals */
};

bool
landlock_make(int *ret_ruleset, uint32_t *ret_abi)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_RULESET_VERSION);
    struct ruleset all = {0};

    *ret_ruleset = -1;
    *ret_abi = 0;
    if (abi < 1)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(brought); i++) {
        if (brought[i].abi > abi)
            continue;
        all.files |= brought[i].rights.files;
        all.net |= brought[i].rights.net;
        all.scoped |= brought[i].rights.scoped;
    }
    *ret_ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    if (*ret_ruleset < 0)
        return false;
    *ret_abi = abi < LANDLOCK_ABI_MAX ? (uint32_t)abi : LANDLOCK_ABI_MAX;
    return true;
}

enum status
landlock_enter(int ruleset, struct err *err)
{
    FAIL_IF(syscall(SYS_landlock_restrict_self, ruleset, 0) != 0, err, INTERNAL, 0,
            "Landlock cannot be entered (error %d)", errno);
    return OK;
}
