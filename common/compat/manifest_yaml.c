/*
 * YAML (1.2's core schema), turned into the JSON that it means, event by event: so there is one parser
 * of manifests, and every limit and every message is the same for both. What makes YAML dangerous or
 * ambiguous is refused: anchors and aliases (a kilobyte could stand for a terabyte), tags, keys that
 * are no scalars, a second document.
 */
#include <stdio.h>
#include <yaml.h>

#include "common/base/attr.h"
#include "common/base/json_writer.h"
#include "common/compat/manifest_form.h"

/* What is open, outermost first. */
struct level {
    bool is_mapping;
    bool expects_key;
};

struct converter {
    yaml_parser_t parser;
    const struct limits *limits;
    struct json_writer out;
    struct level levels[JSON_DEPTH_MAX];
    size_t depth;
    size_t events;
    bool is_done; /* the document has ended */
};

static void
converter_done(struct converter *c)
{
    yaml_parser_delete(&c->parser);
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The end of a run of digits. */
static size_t
skip_digits(struct slice s, size_t at)
{
    while (at < s.length && is_digit(s.at[at]))
        at++;
    return at;
}

/* Whether a plain scalar is spelled as a JSON number; YAML's ".5" and "1." are not, and are told as
 * strings. */
static bool
is_number(struct slice s)
{
    size_t at = s.length > 0 && s.at[0] == '-' ? 1 : 0, start = at;

    at = skip_digits(s, at);
    if (at == start || (s.at[start] == '0' && at > start + 1))
        return false;
    if (at < s.length && s.at[at] == '.') {
        start = ++at;
        at = skip_digits(s, at);
        if (at == start)
            return false;
    }
    if (at < s.length && (s.at[at] == 'e' || s.at[at] == 'E')) {
        at++;
        if (at < s.length && (s.at[at] == '+' || s.at[at] == '-'))
            at++;
        start = at;
        at = skip_digits(s, at);
        if (at == start)
            return false;
    }
    return at == s.length;
}

static bool
is_word(struct slice s, const char *lower, const char *title, const char *upper)
{
    return slice_is(s, lower) || slice_is(s, title) || slice_is(s, upper);
}

static void
write_plain(struct json_writer *out, struct slice s)
{
    if (s.length == 0 || slice_is(s, "~") || is_word(s, "null", "Null", "NULL"))
        jw_null(out);
    else if (is_word(s, "true", "True", "TRUE"))
        jw_bool(out, true);
    else if (is_word(s, "false", "False", "FALSE"))
        jw_bool(out, false);
    else if (is_number(s))
        jw_raw(out, s);
    else
        jw_slice(out, s);
}

/* A value has been written, or begun: in a mapping a key comes next. */
static void
after_value(struct converter *c)
{
    if (c->depth > 0 && c->levels[c->depth - 1].is_mapping)
        c->levels[c->depth - 1].expects_key = true;
}

static bool
expects_key(const struct converter *c)
{
    return c->depth > 0 && c->levels[c->depth - 1].expects_key;
}

static enum status
refuse_extras(const yaml_char_t *anchor, const yaml_char_t *tag, size_t line, struct err *err)
{
    FAIL_IF(anchor != NULL, err, BAD_MANIFEST, 0,
            "line %zu: anchors and aliases are not taken; write the value out", line);
    FAIL_IF(tag != NULL, err, BAD_MANIFEST, 0, "line %zu: tags are not taken", line);
    return OK;
}

static enum status
take_scalar(struct converter *c, const yaml_event_t *event, size_t line, struct err *err)
{
    struct slice s = {.at = (const char *)event->data.scalar.value,
                      .length = event->data.scalar.length};

    TRY(refuse_extras(event->data.scalar.anchor, event->data.scalar.tag, line, err));
    FAIL_IF(s.length > 0 && memchr(s.at, '\0', s.length) != NULL, err, BAD_JSON, 0,
            "line %zu: a NUL character", line);
    if (expects_key(c)) {
        jw_key_slice(&c->out, s);
        c->levels[c->depth - 1].expects_key = false;
        return OK;
    }
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        write_plain(&c->out, s);
    else
        jw_slice(&c->out, s);
    after_value(c);
    return OK;
}

static enum status
open_level(struct converter *c, bool is_mapping, const yaml_char_t *anchor, const yaml_char_t *tag,
           size_t line, struct err *err)
{
    size_t depth_max =
        c->limits->json_depth < JSON_DEPTH_MAX ? c->limits->json_depth : JSON_DEPTH_MAX;

    TRY(refuse_extras(anchor, tag, line, err));
    FAIL_IF(expects_key(c), err, BAD_MANIFEST, 0, "line %zu: a key must be a plain name", line);
    FAIL_IF(c->depth == depth_max, err, LIMIT, 0, "line %zu: nested deeper than %zu", line,
            depth_max);
    after_value(c);
    if (is_mapping)
        jw_object(&c->out);
    else
        jw_array(&c->out);
    c->levels[c->depth++] = (struct level){.is_mapping = is_mapping, .expects_key = is_mapping};
    return OK;
}

static enum status
take_event(struct converter *c, const yaml_event_t *event, bool *ret_is_end, struct err *err)
{
    size_t line = event->start_mark.line + 1;

    *ret_is_end = false;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        FAIL_IF(c->is_done, err, BAD_MANIFEST, 0, "line %zu: a second document", line);
        return OK;
    case YAML_DOCUMENT_END_EVENT:
        c->is_done = true;
        return OK;
    case YAML_STREAM_END_EVENT:
        *ret_is_end = true;
        return OK;
    case YAML_ALIAS_EVENT:
        return refuse_extras(event->data.alias.anchor, NULL, line, err);
    case YAML_SCALAR_EVENT:
        return take_scalar(c, event, line, err);
    case YAML_SEQUENCE_START_EVENT:
        return open_level(c, false, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag, line, err);
    case YAML_MAPPING_START_EVENT:
        return open_level(c, true, event->data.mapping_start.anchor, event->data.mapping_start.tag,
                          line, err);
    case YAML_SEQUENCE_END_EVENT:
        c->depth--;
        jw_array_end(&c->out);
        return OK;
    case YAML_MAPPING_END_EVENT:
        c->depth--;
        jw_object_end(&c->out);
        return OK;
    default:
        return OK;
    }
}

static enum status
convert(struct converter *c, struct err *err)
{
    bool is_end = false;

    while (!is_end) {
        yaml_event_t event;
        enum status status;
        bool is_parsed = yaml_parser_parse(&c->parser, &event);

        FAIL_IF(!is_parsed && c->parser.error == YAML_MEMORY_ERROR, err, NO_MEMORY, 0,
                "out of memory");
        FAIL_IF(!is_parsed, err, BAD_JSON, c->parser.problem_offset,
                "it is neither JSON nor YAML: line %zu: %s", c->parser.problem_mark.line + 1,
                c->parser.problem == NULL ? "it cannot be read" : c->parser.problem);
        status = take_event(c, &event, &is_end, err);
        yaml_event_delete(&event);
        TRY(status);
        FAIL_IF(++c->events > c->limits->json_tokens, err, LIMIT, 0, "too many YAML values");
        TRY(buf_check(c->out.out, err));
    }
    return OK;
}

enum status
manifest_yaml_read(struct slice text, const struct limits *limits, struct arena *arena,
                   struct slice *ret_json, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap(limits->manifest_bytes);
    CLEANUP(converter_done) struct converter c = {.limits = limits};

    FAIL_IF(!yaml_parser_initialize(&c.parser), err, NO_MEMORY, 0, "out of memory");
    yaml_parser_set_encoding(&c.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&c.parser, (const unsigned char *)text.at, text.length);
    c.out = json_writer_to(&out, 0);
    TRY(convert(&c, err));
    return arena_copy(arena, buf_slice_of(&out), ret_json, err);
}
