#include "server/work/clock.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

static const struct {
    int64_t wall_us;
    const char *rfc3339, *http;
} times[] = {
    {0, "1970-01-01T00:00:00.000000Z", "Thu, 01 Jan 1970 00:00:00 GMT"},
    {1795446245123456, "2026-11-23T15:04:05.123456Z", "Mon, 23 Nov 2026 15:04:05 GMT"},
    {951782400000001, "2000-02-29T00:00:00.000001Z", "Tue, 29 Feb 2000 00:00:00 GMT"},
    {-1, "1970-01-01T00:00:00.000000Z", "Thu, 01 Jan 1970 00:00:00 GMT"},
};

START_TEST(clock__prints_times)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(100);

    clock_rfc3339(&text, times[_i].wall_us);
    ck_assert_str_eq(text.bytes, times[_i].rfc3339);
    buf_clear(&text);
    clock_http_date(&text, times[_i].wall_us);
    ck_assert_str_eq(text.bytes, times[_i].http);
}
END_TEST

START_TEST(clock__goes_forward)
{
    uint64_t before = clock_us(), ms = clock_ms();

    ck_assert_uint_le(before, clock_us());
    ck_assert_uint_le(ms, clock_ms());
    ck_assert_int_gt(clock_wall_us(), 1600000000000000);
}
END_TEST

SUITE(clock)
{
    return suite_with("clock", LOOP(clock__prints_times, times), TEST(clock__goes_forward));
}
