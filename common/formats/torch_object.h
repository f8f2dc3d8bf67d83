#pragma once
/*
 * What the pickles of all of PyTorch's containers are read for: its object's state dicts and metadata,
 * and what of all that was found makes torch.load give up.
 */
#include "common/formats/safety.h"
#include "common/formats/source.h"
#include "common/formats/torch_storage.h"

/* The state dicts and the metadata of what torch.load would give, and a finding where there are none. */
enum status torch_object_read(struct torch_reader *r, struct pickle_value root,
                              struct err *err) MUST_CHECK;

/* What follows a checkpoint's end in its file: bytes that no loader of it reads, judged where they are
 * pickles, each until what is none. A zip archive there makes the file two files. */
enum status torch_object_trailing(struct safety_judge *judge, const struct source *source,
                                  uint64_t offset, struct err *err) MUST_CHECK;

/* Refuse for the first finding after which torch.load gives up. Storages that are not there stop it in
 * zip archives only: before, it left their memory as it was. */
enum status torch_object_refuse(struct safety_judge *judge, bool is_zip,
                                struct err *err) MUST_CHECK;
