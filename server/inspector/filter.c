#include "server/inspector/filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"

/* What may be called with any arguments; the most frequent first. */
static const int plain[] = {
    SCMP_SYS(pread64),       SCMP_SYS(munmap),       SCMP_SYS(brk),        SCMP_SYS(madvise),
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(close),      SCMP_SYS(getrandom),
    SCMP_SYS(rt_sigreturn),  SCMP_SYS(exit),         SCMP_SYS(exit_group),
};

static bool
allow(scmp_filter_ctx context, int call, const struct scmp_arg_cmp *where, unsigned count)
{
    return seccomp_rule_add_array(context, SCMP_ACT_ALLOW, call, count, where) == 0;
}

/* Memory that no file stands behind, and that no code is run from. */
static bool
allow_memory(scmp_filter_ctx context)
{
    const struct scmp_arg_cmp anonymous[] = {
        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
        SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS,
                MAP_PRIVATE | MAP_ANONYMOUS),
    };
    const struct scmp_arg_cmp not_code[] = {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)};

    /* The fifth argument of mremap counts only with MREMAP_FIXED, which libc never asks for. */
    return allow(context, SCMP_SYS(mmap), anonymous, ARRAY_LENGTH(anonymous)) &&
           allow(context, SCMP_SYS(mprotect), not_code, ARRAY_LENGTH(not_code)) &&
           allow(context, SCMP_SYS(mremap), NULL, 0);
}

static bool
allow_all(scmp_filter_ctx context, int answer)
{
    static const unsigned waits[] = {FUTEX_WAIT, FUTEX_WAKE};
    const struct scmp_arg_cmp to_daemon[] = {SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)answer, 0)};
    bool is_good = allow(context, SCMP_SYS(sendmsg), to_daemon, 1) && allow_memory(context);

    for (size_t i = 0; i < ARRAY_LENGTH(plain); i++)
        is_good = is_good && allow(context, plain[i], NULL, 0);
    for (size_t i = 0; i < ARRAY_LENGTH(waits); i++) {
        const struct scmp_arg_cmp operation[] = {
            SCMP_A1(SCMP_CMP_MASKED_EQ, (scmp_datum_t)(unsigned)FUTEX_CMD_MASK, waits[i])};

        is_good = is_good && allow(context, SCMP_SYS(futex), operation, 1);
    }
    return is_good;
}

/* libseccomp 2.5 writes its program to a descriptor only. */
static bool
take_program(scmp_filter_ctx context, struct filter *filter)
{
    int fd = memfd_create("filter", MFD_CLOEXEC);
    bool is_good = fd >= 0 && seccomp_export_bpf(context, fd) == 0;
    off_t bytes = is_good ? lseek(fd, 0, SEEK_END) : 0;
    size_t count = bytes <= 0 ? 0 : (size_t)bytes / sizeof(struct sock_filter);

    if (count > 0 && count <= BPF_MAXINSNS) {
        filter->code = mem_new(count, sizeof *filter->code);
        filter->count = (uint16_t)count;
        is_good = filter->code != NULL && pread(fd, filter->code, (size_t)bytes, 0) == bytes;
    } else {
        is_good = false;
    }
    if (fd >= 0)
        (void)close(fd);
    return is_good;
}

/* Whether this kernel knows how to end a process by a filter (Linux 4.14). */
static bool
kernel_can(void)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

bool
filter_make(int answer, struct filter *ret_filter)
{
    scmp_filter_ctx context = kernel_can() ? seccomp_init(SCMP_ACT_KILL_PROCESS) : NULL;
    bool is_good;

    *ret_filter = (struct filter){0};
    if (context == NULL)
        return false;
    /* Another machine's calls (32 bit, x32) have other numbers. */
    is_good = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0 &&
              seccomp_syscall_priority(context, SCMP_SYS(pread64), UINT8_MAX) == 0 &&
              allow_all(context, answer) && take_program(context, ret_filter);
    seccomp_release(context);
    if (!is_good)
        filter_done(ret_filter);
    return is_good;
}

void
filter_done(struct filter *filter)
{
    mem_free(filter->code);
    *filter = (struct filter){0};
}

enum status
filter_enter(const struct filter *filter, struct err *err)
{
    struct sock_fprog program = {.len = filter->count, .filter = filter->code};

    FAIL_IF(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0, err, INTERNAL, 0,
            "the filter of system calls cannot be entered (error %d)", errno);
    return OK;
}
