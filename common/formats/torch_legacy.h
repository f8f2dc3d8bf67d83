#pragma once
/*
 * For files that begin as a bare pickle and turn out to be torch.save's old format: loaders look at
 * what the first pickle gives, not at how it is written.
 */
#include "common/base/limits.h"
#include "common/formats/source.h"
#include "common/structure/inspection.h"

/* As the format's read. */
enum status torch_legacy_read(const struct source *source, const struct limits *limits,
                              struct inspection *in, struct err *err) MUST_CHECK;
