#pragma once
/*
 * What Keras writes of a model beside its weights: a JSON text of nested objects, each naming a class
 * and what it is made with. Loading a model makes these objects, so the text is code: Python's own in
 * Lambda layers, and, by their names, any function that the loader finds.
 */
#include "common/base/json_writer.h"
#include "common/structure/inspection.h"

enum { KERAS_CLASSES_MAX = 64 };

/* What people want to know of it. All-zero is empty. */
struct keras_summary {
    struct slice class_name, name; /* of the model; in the arena */
    size_t layers;                 /* layers within models within it counted, too */
    struct {
        struct slice class_name;
        size_t count;
    } classes[KERAS_CLASSES_MAX]; /* in order of their first layer */
    size_t class_count;
};

/* Judge the text, which where names in findings ("model_config"): in->safety is lowered to dangerous
 * for code, to unlisted for names outside Keras, to malformed where it is no JSON. text must outlive
 * in, or be in its arena. */
enum status keras_config_judge(struct inspection *in, const struct limits *limits,
                               struct slice text, const char *where,
                               struct keras_summary *ret_summary, struct err *err) MUST_CHECK;

/* The summary's members, into an open object. */
void keras_config_show(struct json_writer *w, const struct keras_summary *s);
