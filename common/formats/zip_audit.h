#pragma once
/*
 * What can only be seen by comparing a zip archive's members with each other: names that readers
 * would resolve differently, payloads that lie upon each other or upon the directory.
 */
#include "common/formats/zip_directory.h"

/* Fill by_name, mark ambiguous members, and note what is wrong. For zip_directory_read. */
enum status zip_audit(struct zip_directory *d, const struct limits *limits, struct inspection *in,
                      struct err *err) MUST_CHECK;

/* The order of by_name: PyTorch's reader looks names up by their lower case (ASCII), others by the
 * bytes; so those that differ in case only stand together, in bytewise order. */
int zip_audit_compare_names(struct slice a, struct slice b);
