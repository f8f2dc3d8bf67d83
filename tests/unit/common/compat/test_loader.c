#include "common/compat/judge.h"

#include "tests/support/unit.h"

START_TEST(loader__is_found_by_its_name)
{
    for (enum loader loader = 0; loader < LOADER_COUNT; loader++)
        ck_assert_int_eq(loader_find(slice_of(loader_name(loader))), loader);
    ck_assert_int_eq(loader_find(slice_of("Torch")), LOADER_COUNT);
    ck_assert_int_eq(loader_find((struct slice){0}), LOADER_COUNT);
}
END_TEST

START_TEST(loader__opens_its_container)
{
    ck_assert(slice_is(loader_container(LOADER_TORCH), ""));
    ck_assert(slice_is(loader_container(LOADER_SAFETENSORS), ""));
    ck_assert(slice_is(loader_container(LOADER_LIGHTNING), "state_dict"));
}
END_TEST

SUITE(loader)
{
    return suite_with("loader", TEST(loader__is_found_by_its_name),
                      TEST(loader__opens_its_container));
}
