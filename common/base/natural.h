#pragma once
/*
 * Natural order: as bytes, but runs of digits compare as the numbers they spell, so that layer2 comes
 * before layer10. Lists that people read are in this order.
 */
#include "common/base/slice.h"

/* As strcmp's sign. Zero only for equal bytes: where the numbers are equal, fewer leading zeros come
 * first. */
int natural_compare(struct slice a, struct slice b);
