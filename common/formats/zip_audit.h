#pragma once
/*
 * What can only be seen by comparing a zip archive's members with each other: names that readers
 * would resolve differently, payloads that lie upon each other or upon the directory.
 */
#include "common/formats/zip_directory.h"

/* Fill slots or by_name, mark ambiguous members, and note what is wrong. For zip_directory_read. */
enum status zip_audit(struct zip_directory *d, const struct limits *limits, struct inspection *in,
                      struct err *err) MUST_CHECK;

/* The member of exactly that name, or NULL; the first in the directory where there are several. */
const struct zip_member *zip_audit_find(const struct zip_directory *d, struct slice name);
