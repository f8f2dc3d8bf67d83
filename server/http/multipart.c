/*
 * The delimiter is CR LF "--" boundary, and no byte of it but the first is a CR. So a failed match
 * need not be looked through again: what was matched is data, and a new match can only begin at the
 * byte that broke the old one. The bytes of a match that a piece's end cut need not be kept either:
 * they are the delimiter's own.
 */
#include "server/http/multipart.h"

#include <string.h>
#include <strings.h>

#include "common/base/utf8.h"

enum { HEAD_BYTES_MAX = 8 * 1024 };

enum {
    PREAMBLE, /* before the first delimiter; skipped */
    CONTENT,
    AFTER,      /* a delimiter: the line's end, or "--" */
    AFTER_CR,   /* … and a CR */
    AFTER_DASH, /* … and a "-" */
    HEAD,       /* a part's header lines */
    EPILOGUE,
};

static struct slice
trimmed(struct slice s)
{
    while (s.length > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = slice_from(s, 1);
    while (s.length > 0 && (s.at[s.length - 1] == ' ' || s.at[s.length - 1] == '\t'))
        s.length--;
    return s;
}

static bool
is_text(struct slice s, const char *text)
{
    return s.length == strlen(text) && strncasecmp(s.at, text, s.length) == 0;
}

/* RFC 2046 §5.1.1, bchars; a space may not be the last. */
static bool
is_boundary(struct slice s)
{
    for (size_t i = 0; i < s.length; i++) {
        char c = s.at[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c != '\0' && strchr("'()+_,-./:=? ", c) != NULL)))
            return false;
    }
    return s.length > 0 && s.length <= MULTIPART_BOUNDARY_MAX && s.at[s.length - 1] != ' ';
}

/*
 * Cut one "; name=value" or "; name=\"value\"" off the parameters. A quoted value is unescaped in
 * place where the text is ours (text != NULL): \" and \\ only, since file names carry backslashes.
 * False: malformed.
 */
static bool
cut_parameter(struct slice *rest, char *text, struct slice *ret_name, struct slice *ret_value)
{
    struct slice s = trimmed(*rest), name;
    size_t from, to = 0;

    if (s.length == 0 || s.at[0] != ';')
        return false;
    s = trimmed(slice_from(s, 1));
    for (from = 0; from < s.length && s.at[from] != '=' && s.at[from] != ';'; from++) {
    }
    if (from == s.length || s.at[from] == ';')
        return false;
    name = trimmed(slice_part(s, 0, from));
    s = trimmed(slice_from(s, from + 1));
    *ret_name = name;
    if (s.length == 0 || s.at[0] != '"') {
        for (from = 0; from < s.length && s.at[from] != ';'; from++) {
        }
        *ret_value = trimmed(slice_part(s, 0, from));
        *rest = slice_from(s, from);
        return name.length > 0 && ret_value->length > 0;
    }
    s = slice_from(s, 1);
    *ret_value = s;
    for (from = 0; from < s.length && s.at[from] != '"'; from++, to++) {
        bool is_escape = s.at[from] == '\\' && from + 1 < s.length &&
                         (s.at[from + 1] == '"' || s.at[from + 1] == '\\');

        from += is_escape;
        if (text != NULL)
            text[(size_t)(s.at - text) + to] = s.at[from];
        else if (is_escape)
            return false; /* not ours to write in, and no boundary has one */
    }
    if (from == s.length)
        return false;
    ret_value->length = to;
    *rest = slice_from(s, from + 1);
    return name.length > 0;
}

enum status
multipart_init(struct multipart *m, struct slice content_type, size_t parts_max, struct err *err)
{
    struct slice rest = content_type, type, name, value, boundary = {0};
    size_t length = 0;

    *m = (struct multipart){.parts_max = parts_max, .head = buf_with_cap(HEAD_BYTES_MAX)};
    while (length < rest.length && rest.at[length] != ';')
        length++;
    type = trimmed(slice_part(rest, 0, length));
    FAIL_IF(!is_text(type, "multipart/form-data"), err, MEDIA_TYPE, 0,
            "the body is not multipart/form-data");
    rest = slice_from(rest, length);
    while (trimmed(rest).length > 0) {
        FAIL_IF(!cut_parameter(&rest, NULL, &name, &value), err, BAD_REQUEST, 0,
                "the parameters of Content-Type are malformed");
        FAIL_IF(is_text(name, "boundary") && boundary.at != NULL, err, BAD_REQUEST, 0,
                "Content-Type has two boundaries");
        if (is_text(name, "boundary"))
            boundary = value;
    }
    FAIL_IF(boundary.at == NULL || !is_boundary(boundary), err, BAD_REQUEST, 0,
            "Content-Type has no well-formed boundary");
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary.at, boundary.length);
    m->delimiter_length = 4 + boundary.length;
    m->matched = 2; /* the body's beginning stands for a line's end */
    m->state = PREAMBLE;
    return OK;
}

void
multipart_done(struct multipart *m)
{
    if (m != NULL)
        buf_done(&m->head);
}

static void
skip(struct multipart *m, struct slice *piece, size_t length)
{
    *piece = slice_from(*piece, length);
    m->offset += length;
}

/* Go on with a match. True: it is whole. False: the piece ended, or what was matched is data, the
 * first *ret_returned bytes of a delimiter. */
static bool
match(struct multipart *m, struct slice *piece, size_t *ret_returned)
{
    *ret_returned = 0;
    while (piece->length > 0 && m->matched < m->delimiter_length) {
        if (piece->at[0] != m->delimiter[m->matched]) {
            *ret_returned = m->matched;
            m->matched = 0;
            return false;
        }
        m->matched++;
        skip(m, piece, 1);
    }
    return m->matched == m->delimiter_length;
}

/* The next bytes that are no part of a delimiter. False: the piece is used up, or a delimiter was
 * read, and the state is AFTER. */
static bool
next_run(struct multipart *m, struct slice *piece, struct slice *ret_run)
{
    const char *cr;
    size_t returned;

    if (m->matched > 0 || (piece->length > 0 && piece->at[0] == '\r')) {
        if (match(m, piece, &returned)) {
            m->matched = 0;
            m->state = AFTER;
            return false;
        }
        *ret_run = (struct slice){.at = m->delimiter, .length = returned};
        return returned > 0;
    }
    if (piece->length == 0)
        return false;
    cr = memchr(piece->at, '\r', piece->length);
    *ret_run = slice_part(*piece, 0, cr == NULL ? piece->length : (size_t)(cr - piece->at));
    skip(m, piece, ret_run->length);
    return true;
}

/* Content up to the next delimiter, its beginning, or the piece's end. */
static enum multipart_event
read_content(struct multipart *m, struct slice *piece, struct slice *ret_data)
{
    bool is_part = m->state == CONTENT;

    while (next_run(m, piece, ret_data))
        if (is_part)
            return MULTIPART_DATA;
    *ret_data = (struct slice){0};
    return is_part && m->state == AFTER ? MULTIPART_PART_END : MULTIPART_NEED;
}

/* After a delimiter: white space and the line's end, or "--". */
static enum status
read_after(struct multipart *m, struct slice *piece, enum multipart_event *ret_event,
           struct err *err)
{
    while (piece->length > 0) {
        char c = piece->at[0];

        skip(m, piece, 1);
        if (m->state == AFTER && c == '\r')
            m->state = AFTER_CR;
        else if (m->state == AFTER && c == '-')
            m->state = AFTER_DASH;
        else if (m->state == AFTER_CR && c == '\n') {
            FAIL_IF(m->parts == m->parts_max, err, LIMIT, m->offset, "more than %zu parts",
                    m->parts_max);
            m->parts++;
            buf_clear(&m->head);
            m->state = HEAD;
            return OK;
        } else if (m->state == AFTER_DASH && c == '-') {
            m->state = EPILOGUE;
            *ret_event = MULTIPART_END;
            return OK;
        } else
            FAIL_IF(m->state != AFTER || (c != ' ' && c != '\t'), err, BAD_REQUEST, m->offset,
                    "text behind a boundary");
    }
    return OK;
}

static enum status
read_disposition(struct multipart *m, struct slice value, struct err *err)
{
    char *text = m->head.bytes;
    struct slice rest = value, name;
    size_t length = 0;

    FAIL_IF(m->part.name.at != NULL, err, BAD_REQUEST, m->offset,
            "a part has two Content-Dispositions");
    while (length < rest.length && rest.at[length] != ';')
        length++;
    FAIL_IF(!is_text(trimmed(slice_part(rest, 0, length)), "form-data"), err, BAD_REQUEST,
            m->offset, "a part's Content-Disposition is not form-data");
    rest = slice_from(rest, length);
    while (trimmed(rest).length > 0) {
        struct slice parameter, *into = NULL;

        FAIL_IF(!cut_parameter(&rest, text, &name, &parameter), err, BAD_REQUEST, m->offset,
                "a part's Content-Disposition is malformed");
        if (is_text(name, "name"))
            into = &m->part.name;
        else if (is_text(name, "filename"))
            into = &m->part.filename;
        if (into == NULL)
            continue;
        FAIL_IF(into->at != NULL, err, BAD_REQUEST, m->offset, "a part has two names");
        FAIL_IF(!utf8_is_valid(parameter), err, BAD_REQUEST, m->offset,
                "a part's name is not UTF-8");
        *into = parameter;
    }
    FAIL_IF(m->part.name.at == NULL, err, BAD_REQUEST, m->offset, "a part has no name");
    return OK;
}

static enum status
read_line(struct multipart *m, struct slice line, struct err *err)
{
    struct slice value = line, name = slice_cut(&value, ':');

    FAIL_IF(value.at == NULL || name.length == 0, err, BAD_REQUEST, m->offset,
            "a part has a malformed header line");
    for (size_t i = 0; i < name.length; i++)
        FAIL_IF(name.at[i] <= ' ' || name.at[i] == 0x7f, err, BAD_REQUEST, m->offset,
                "a part has a malformed or folded header line");
    value = trimmed(value);
    for (size_t i = 0; i < value.length; i++)
        FAIL_IF(((unsigned char)value.at[i] < ' ' && value.at[i] != '\t') || value.at[i] == 0x7f,
                err, BAD_REQUEST, m->offset, "a control character in a part's header");
    if (is_text(name, "Content-Disposition"))
        return read_disposition(m, value, err);
    if (is_text(name, "Content-Type"))
        m->part.media_type = value;
    FAIL_IF(is_text(name, "Content-Transfer-Encoding") && !is_text(value, "binary") &&
                !is_text(value, "8bit") && !is_text(value, "7bit"),
            err, MEDIA_TYPE, m->offset, "a part is encoded for transfer; send it as it is");
    return OK;
}

/* All lines of the head, which ends with an empty one. */
static enum status
read_lines(struct multipart *m, struct err *err)
{
    struct slice rest = buf_slice_of(&m->head);

    m->part = (struct multipart_part){0};
    rest.length -= 2; /* the empty line; each other one still has its CR LF */
    while (rest.length > 0) {
        struct slice line = slice_cut(&rest, '\n');

        FAIL_IF(line.length == 0 || line.at[line.length - 1] != '\r', err, BAD_REQUEST, m->offset,
                "a part's header line ends without CR LF");
        line.length--;
        TRY(read_line(m, line, err));
    }
    FAIL_IF(m->part.name.at == NULL, err, BAD_REQUEST, m->offset,
            "a part has no Content-Disposition");
    return OK;
}

static enum status
read_head(struct multipart *m, struct slice *piece, enum multipart_event *ret_event,
          struct err *err)
{
    while (piece->length > 0) {
        const char *lf = memchr(piece->at, '\n', piece->length);
        size_t length = lf == NULL ? piece->length : (size_t)(lf - piece->at) + 1;
        struct slice head;

        buf_add(&m->head, piece->at, length);
        skip(m, piece, length);
        FAIL_IF(m->head.failed == ERR_LIMIT, err, LIMIT, m->offset,
                "a part's header has more than %d bytes", HEAD_BYTES_MAX);
        TRY(buf_check(&m->head, err));
        head = buf_slice_of(&m->head);
        if (slice_is(head, "\r\n") || slice_ends(head, slice_of("\r\n\r\n"))) {
            TRY(read_lines(m, err));
            m->state = CONTENT;
            *ret_event = MULTIPART_PART;
            return OK;
        }
    }
    return OK;
}

enum status
multipart_next(struct multipart *m, struct slice *piece, enum multipart_event *ret_event,
               struct slice *ret_data, struct err *err)
{
    *ret_event = MULTIPART_NEED;
    *ret_data = (struct slice){0};
    while (piece->length > 0 && *ret_event == MULTIPART_NEED) {
        switch (m->state) {
        case PREAMBLE:
        case CONTENT:
            *ret_event = read_content(m, piece, ret_data);
            break;
        case HEAD:
            TRY(read_head(m, piece, ret_event, err));
            break;
        case EPILOGUE:
            skip(m, piece, piece->length);
            break;
        default:
            TRY(read_after(m, piece, ret_event, err));
            break;
        }
    }
    return OK;
}

enum status
multipart_finish(const struct multipart *m, struct err *err)
{
    FAIL_IF(m->state != EPILOGUE, err, BAD_REQUEST, m->offset,
            "the body ends before its last boundary");
    return OK;
}
