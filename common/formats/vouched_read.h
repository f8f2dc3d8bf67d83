#pragma once
/*
 * The text of a list of globals that a site vouches for (common/structure/vouched.h):
 *
 *     # models of ours
 *     vision.config.TrainConfig
 *     vision.nets.Backbone
 *
 * One dotted name a line, as a finding spells it; exact, no patterns: a package grows, and what it
 * holds tomorrow nobody has read. # begins a comment. Names that this program knows to be inert may stand
 * there and change nothing.
 */
#include "common/structure/vouched.h"

enum { VOUCHED_NAMES_MAX = 10000, VOUCHED_TEXT_BYTES_MAX = 4 << 20 };

/* ERR_BAD_REQUEST names the line, also of a global that no site can vouch for: a known gadget, or a
 * loader, which is as good as what it is given. The names are copied into the arena. */
enum status vouched_read(struct slice text, const struct limits *limits, struct arena *arena,
                         struct vouched *ret_vouched, struct err *err) MUST_CHECK;
