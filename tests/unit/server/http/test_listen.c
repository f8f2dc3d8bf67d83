#include "server/http/listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/support/unit.h"

static const char *const good[] = {"127.0.0.1:0", "localhost:0", "[::1]:0", "0.0.0.0:0"};

START_TEST(listen__takes_numeric_addresses_and_localhost)
{
    struct err err = {0};
    unsigned port;
    char *path;
    int fd;

    ck_assert_msg(listen_on(good[_i], &fd, &port, &path, &err) == OK, "%s", err.text);
    ck_assert_uint_gt(port, 0);
    ck_assert_ptr_null(path);
    (void)close(fd);
}
END_TEST

static const char *const bad[] = {"",         "127.0.0.1",      "127.0.0.1:",    "127.0.0.1:65536",
                                  ":80",      "name.example:0", "127.0.0.1:-1",  "[::1:0",
                                  "1.2.3:80", "unix:",          "127.0.0.1:0x1", "[]:0"};

START_TEST(listen__refuses_what_is_no_address)
{
    struct err err = {0};
    unsigned port;
    char *path;
    int fd;

    ck_assert_int_eq(listen_on(bad[_i], &fd, &port, &path, &err), ERR_BAD_REQUEST);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_ne(err.text[0], '\0');
}
END_TEST

START_TEST(listen__says_when_the_port_is_taken)
{
    unsigned port, other;
    char text[64], *path;
    int fd, second;

    ck_assert_int_eq(listen_on("127.0.0.1:0", &fd, &port, &path, NULL), OK);
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
    ck_assert_int_eq(listen_on(text, &second, &other, &path, NULL), ERR_CONFLICT);
    (void)close(fd);
}
END_TEST

START_TEST(listen__replaces_a_stale_socket_but_no_other_file)
{
    char directory[] = "/tmp/ckptd-listen-XXXXXX", name[64], text[80], *path;
    unsigned port;
    struct stat status;
    int fd;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)snprintf(name, sizeof name, "%s/s", directory);
    (void)snprintf(text, sizeof text, "unix:%s", name);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(listen_on(text, &fd, &port, &path, NULL), OK);
        ck_assert_uint_eq(port, 0);
        ck_assert_str_eq(path, name);
        mem_free(path);
        (void)close(fd);
    }
    (void)unlink(name);
    (void)fclose(fopen(name, "w"));
    ck_assert_int_ne(listen_on(text, &fd, &port, &path, NULL), OK);
    ck_assert_int_eq(stat(name, &status), 0);
    ck_assert(S_ISREG(status.st_mode));
    (void)unlink(name);
    (void)rmdir(directory);
}
END_TEST

SUITE(listen)
{
    return suite_with("listen", LOOP(listen__takes_numeric_addresses_and_localhost, good),
                      LOOP(listen__refuses_what_is_no_address, bad),
                      TEST(listen__says_when_the_port_is_taken),
                      TEST(listen__replaces_a_stale_socket_but_no_other_file));
}
