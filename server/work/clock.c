#include "server/work/clock.h"

#include <time.h>

static uint64_t
now_us(clockid_t which)
{
    struct timespec t = {0};

    (void)clock_gettime(which, &t); /* cannot fail for these clocks */
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t
clock_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

uint64_t
clock_ms(void)
{
    return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t
clock_wall_us(void)
{
    return (int64_t)now_us(CLOCK_REALTIME);
}

/* Both take a time before 1970 for 1970: nothing here was made then. */
static struct tm
broken_down(int64_t wall_us)
{
    time_t seconds = wall_us < 0 ? 0 : (time_t)(wall_us / 1000000);
    struct tm t = {0};

    (void)gmtime_r(&seconds, &t);
    return t;
}

void
clock_rfc3339(struct buf *b, int64_t wall_us)
{
    struct tm t = broken_down(wall_us);

    buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
               t.tm_hour, t.tm_min, t.tm_sec, wall_us < 0 ? 0 : (int)(wall_us % 1000000));
}

void
clock_http_date(struct buf *b, int64_t wall_us)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm t = broken_down(wall_us);

    buf_printf(b, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[t.tm_wday], t.tm_mday,
               months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}
