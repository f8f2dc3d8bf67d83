/*
 * The toy server of tests/api, to be driven from outside:
 *
 *     TOY_LISTEN=127.0.0.1:8499 bench_http [polling threads [workers [ring bytes]]] &
 *     wrk -t2 -c64 -d5 http://127.0.0.1:8499/hello
 *     curl -T 1GiB.bin http://127.0.0.1:8499/upload/x
 *
 * It ends at SIGTERM or SIGINT, and says what it did.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/api/toy.h"

int
main(int argc, char **argv)
{
    struct httpd_limits limits = httpd_limits_default();
    struct httpd_stats stats;
    struct toy toy;
    sigset_t signals;
    int got;

    if (argc > 1)
        limits.polling_threads = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 3)
        limits.ring_bytes = strtoul(argv[3], NULL, 10);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    toy_start(&toy, limits, argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2, 1024);
    (void)printf("listening on port %u\n", httpd_port(toy.httpd));
    (void)fflush(stdout);
    (void)sigwait(&signals, &got);
    stats = httpd_stats(toy.httpd);
    (void)printf("%llu requests, %llu bytes in, %llu out\n", (unsigned long long)stats.requests,
                 (unsigned long long)stats.body_bytes_in, (unsigned long long)stats.body_bytes_out);
    toy_stop(&toy, 1000);
    return 0;
}
