#pragma once
/*
 * Inspectors (design.md §7): hostile bytes are parsed only in a process that can do nothing else. A
 * single-threaded zygote, this binary executed anew with one socket open, forks a child for each
 * file set; the child is handed the files' descriptors, locks itself in (sandbox.h), answers once, and
 * ends. What it answers is decoded here like any other hostile input.
 *
 * Any number of threads may ask at once.
 */
#include "common/base/limits.h"
#include "common/structure/inspection.h"

struct inspector;

/* How much of a sandbox a child must have. */
enum inspector_sandbox {
    INSPECTOR_SANDBOX_BEST,    /* all that the system has */
    INSPECTOR_SANDBOX_REQUIRE, /* all there is, or nothing is read */
    INSPECTOR_SANDBOX_OFF,     /* limits and no_new_privs only: to look for a defect */
};

struct inspector_config {
    const char
        *executable; /* what runs as the zygote, borrowed; NULL: a fork of this process, which
                               must have no other thread and keep no secret */
    struct limits limits;
    unsigned wall_ms;     /* from the hand-over to the whole answer, then the child is killed */
    unsigned cpu_seconds; /* RLIMIT_CPU of a child */
    size_t memory_bytes;  /* RLIMIT_AS of a child; 0: none (sanitizers need their own) */
    size_t answer_bytes;  /* longest answer that is taken */
    enum inspector_sandbox sandbox;
    uint32_t without_layers; /* of enum sandbox_layer: a test takes them for missing */
};

struct inspector_config inspector_config_default(void);

/* A file of the set: its path within the version, and a descriptor that stays the caller's. */
struct inspector_file {
    struct slice path;
    int fd;
};

enum { INSPECTOR_FILES_MAX = 100000 };

/* A set whose files are opened one after the other as they are handed over, so that many of them do not
 * hold as many descriptors here. */
struct inspector_set {
    size_t count;
    struct slice (*path)(void *context, size_t i);
    /* A descriptor, which is closed once it was handed over. An error ends the inspection with it. */
    enum status (*open)(void *context, size_t i, int *ret_fd, struct err *err);
    void *context;
    bool is_one; /* struct fileset's */
};

/* Start the zygote; before threads and secrets, so that it inherits neither. */
enum status inspector_start(const struct inspector_config *config, struct inspector **ret_inspector,
                            struct err *err) MUST_CHECK;

/* Ends the zygote; its children die with it. Nobody may be asking. NULL is fine. */
void inspector_free(struct inspector *inspector);

/* Cut short all that is being inspected, and inspect nothing more: ERR_INSPECTOR or ERR_BUSY for
 * those who ask. Any thread. NULL is fine. */
void inspector_cut(struct inspector *inspector);

/*
 * Inspect a set of files. Blocks; ret is the caller's to inspection_done on any outcome. The reader's
 * own errors (ERR_MALFORMED, ERR_UNRECOGNIZED, ERR_LIMIT …) are final, and ret holds the findings up
 * to there. ERR_INSPECTOR (it crashed or answered nonsense), ERR_TIMEOUT and ERR_BUSY may pass: try
 * again.
 */
enum status inspector_run(struct inspector *inspector, const struct inspector_file *files,
                          size_t count, struct inspection *ret, struct err *err) MUST_CHECK;

/* The same for a set that is opened as it goes; what open fails with is the answer. */
enum status inspector_run_set(struct inspector *inspector, const struct inspector_set *set,
                              struct inspection *ret, struct err *err) MUST_CHECK;

/* The zygote's process, for tests and /readyz; it may be replaced at any time. */
int inspector_pid(struct inspector *inspector);

/*
 * Measure the sandbox: a child goes in and tries the walls. From then on nothing is read in a lesser
 * one. Before any thread asks. ERR_UNSUPPORTED names what is missing where all of it is required.
 */
enum status inspector_probe(struct inspector *inspector, struct err *err) MUST_CHECK;

/* What the probe found: "rlimits, no_new_privs, landlock 7, seccomp"; and which of these are not
 * there, none as a rule. */
const char *inspector_sandbox(const struct inspector *inspector);
const char *inspector_sandbox_missing(const struct inspector *inspector);

/* The zygote's main: what `ckptd` runs when it is started as one. Never returns to serve. */
int inspector_zygote(void);

/* Its name as argv[1]. */
#define INSPECTOR_VERB "inspector-zygote"
