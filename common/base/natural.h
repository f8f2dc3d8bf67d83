#pragma once
/*
 * Natural order: as bytes, but runs of digits compare as the numbers they spell, so that layer2 comes
 * before layer10. Lists that people read are in this order.
 */
#include "common/base/slice.h"

/* As strcmp's sign. Zero only for equal bytes: names that differ in leading zeros alone are ordered,
 * the shorter first. */
int natural_compare(struct slice a, struct slice b);
