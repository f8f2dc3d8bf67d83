#include "server/work/pool.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "tests/support/unit.h"

struct count {
    struct task task;
    struct pool *pool;
    _Atomic unsigned *sum;
    unsigned again;
};

static void
add(struct task *task)
{
    struct count *c = TASK_OWNER(task, struct count, task);

    if (c->again > 0) {
        c->again--;
        (void)atomic_fetch_add(c->sum, 1);
        pool_continue(c->pool, task);
        return; /* it may run already */
    }
    (void)atomic_fetch_add(c->sum, 1);
}

START_TEST(pool__runs_all_tasks_and_those_that_come_again)
{
    static struct count counts[1000];
    _Atomic unsigned sum = 0;
    struct pool *pool;

    ck_assert_int_eq(pool_start("test", 3, 1000, &pool, NULL), OK);
    for (unsigned i = 0; i < 1000; i++) {
        counts[i] = (struct count){.task.run = add, .pool = pool, .sum = &sum, .again = i % 3};
        ck_assert_int_eq(pool_submit(pool, &counts[i].task, NULL), OK);
    }
    pool_free(pool); /* ends when the queue is empty */
    ck_assert_uint_eq(sum, 1000 + 999);
}
END_TEST

struct gate {
    struct task task;
    _Atomic bool *is_open;
};

static void
wait_for_gate(struct task *task)
{
    struct gate *g = TASK_OWNER(task, struct gate, task);

    while (!*g->is_open)
        (void)usleep(1000);
}

START_TEST(pool__refuses_beyond_its_queue_but_takes_what_was_admitted)
{
    _Atomic bool is_open = false;
    struct gate gates[5];
    struct pool_stats stats;
    struct err err = {0};
    struct pool *pool;

    ck_assert_int_eq(pool_start("test", 1, 2, &pool, NULL), OK);
    for (int i = 0; i < 5; i++)
        gates[i] = (struct gate){.task.run = wait_for_gate, .is_open = &is_open};
    ck_assert_int_eq(pool_submit(pool, &gates[0].task, NULL), OK);
    while (pool_stats(pool).busy == 0)
        (void)usleep(1000);
    ck_assert_int_eq(pool_submit(pool, &gates[1].task, NULL), OK);
    ck_assert_int_eq(pool_submit(pool, &gates[2].task, NULL), OK);
    ck_assert_int_eq(pool_submit(pool, &gates[3].task, &err), ERR_BUSY);
    ck_assert_int_ne(err.text[0], '\0');
    pool_continue(pool, &gates[4].task);
    stats = pool_stats(pool);
    ck_assert_uint_eq(stats.queued, 3);
    ck_assert_uint_eq(stats.refused, 1);
    ck_assert_uint_eq(stats.threads, 1);
    is_open = true;
    while (pool_stats(pool).done < 4)
        (void)usleep(1000);
    pool_free(pool);
    pool_free(NULL);
}
END_TEST

SUITE(pool)
{
    return suite_with("pool", TEST(pool__runs_all_tasks_and_those_that_come_again),
                      TEST(pool__refuses_beyond_its_queue_but_takes_what_was_admitted));
}
