#pragma once
/*
 * Structures, kept once for each fingerprint; loading facts, once for each content; placements, one a
 * container. The ids never change their meaning, so what is read may be cached by them for ever.
 */
#include "common/base/arena.h"
#include "common/base/limits.h"
#include "common/structure/fingerprint.h"
#include "common/structure/structure.h"
#include "server/store/store.h"

/* ERR_NOT_FOUND. Decoded into the arena with all the checks of record.h. */
enum status structure_store_get(struct store *store, int64_t structure_id,
                                const struct limits *limits, struct arena *arena,
                                struct structure *ret_structure, struct err *err) MUST_CHECK;

/* The facts of a container, whose structure must be given. */
enum status structure_store_facts(struct store *store, int64_t facts_id,
                                  const struct structure *structure, const struct limits *limits,
                                  struct arena *arena, struct facts *ret_facts,
                                  struct err *err) MUST_CHECK;

/* The placement of a container, whose structure must be given; empty where none was recorded. */
enum status structure_store_placement(struct store *store, int64_t container_id,
                                      const struct structure *structure,
                                      const struct limits *limits, struct arena *arena,
                                      struct placement *ret_placement, struct err *err) MUST_CHECK;
