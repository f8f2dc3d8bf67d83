#include "server/store/ref.h"

#include "common/base/num.h"

static bool
is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
holds(struct slice s, const char *text)
{
    return memmem(s.at, s.length, text, strlen(text)) != NULL;
}

static bool
is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* The first character of the name, and all others. */
static enum status
check_characters(const char *what, struct slice name, const char *others, struct err *err)
{
    FAIL_IF(name.at == NULL || !is_alphanumeric(name.at[0]), err, BAD_NAME, 0,
            "the %s \"%.*s\" does not begin with a letter or a digit", what, SLICE_PRINT(name));
    for (size_t i = 1; i < name.length; i++)
        FAIL_IF(!is_alphanumeric(name.at[i]) && !is_one_of(name.at[i], others), err, BAD_NAME, i,
                "the %s \"%.*s\" may only have letters, digits and %s", what, SLICE_PRINT(name),
                others);
    return OK;
}

static enum status
check_length(const char *what, struct slice name, size_t most, struct err *err)
{
    FAIL_IF(name.length == 0, err, BAD_NAME, 0, "the %s is empty", what);
    FAIL_IF(name.length > most, err, BAD_NAME, most, "the %s is longer than %zu characters", what,
            most);
    return OK;
}

enum status
ref_check_part(const char *what, struct slice name, struct err *err)
{
    char last;

    TRY(check_length(what, name, REF_PART_MAX, err));
    TRY(check_characters(what, name, "._-", err));
    last = name.at[name.length - 1];
    FAIL_IF(!is_alphanumeric(last) && last != '_', err, BAD_NAME, name.length - 1,
            "the %s \"%.*s\" does not end in a letter, a digit or _", what, SLICE_PRINT(name));
    FAIL_IF(holds(name, "--") || holds(name, ".."), err, BAD_NAME, 0,
            "the %s \"%.*s\" has -- or .. in it", what, SLICE_PRINT(name));
    FAIL_IF(name.length >= 4 && strncasecmp(name.at + name.length - 4, ".git", 4) == 0, err,
            BAD_NAME, 0, "the %s \"%.*s\" ends in .git", what, SLICE_PRINT(name));
    return OK;
}

/* "v7": what only the serial 7 may be called. */
static bool
is_serial(struct slice text, uint64_t *ret_serial)
{
    uint64_t serial;

    if (text.at == NULL || text.length < 2 || text.at[0] != 'v' ||
        !num_parse_u64(slice_from(text, 1), &serial))
        return false;
    if (serial == 0 || serial > INT64_MAX)
        return false;
    *ret_serial = serial;
    return true;
}

enum status
ref_check_label(struct slice label, struct err *err)
{
    bool is_number = label.at != NULL && label.length > 1 && label.at[0] == 'v';

    TRY(check_length("label", label, REF_LABEL_MAX, err));
    TRY(check_characters("label", label, "._=+-", err));
    for (size_t i = 1; i < label.length && is_number; i++)
        is_number = label.at[i] >= '0' && label.at[i] <= '9';
    FAIL_IF(is_number, err, BAD_NAME, 0,
            "the label \"%.*s\" looks like a serial: v and a number name the server's own",
            SLICE_PRINT(label));
    return OK;
}

enum status
ref_check_path(struct slice path, struct err *err)
{
    struct slice rest = path;

    TRY(check_length("path", path, REF_PATH_MAX, err));
    while (rest.at != NULL) {
        struct slice segment = slice_cut(&rest, '/');

        FAIL_IF(segment.length == 0 || slice_is(segment, ".") || slice_is(segment, ".."), err,
                BAD_NAME, 0, "the path \"%.*s\" has an empty, . or .. segment", SLICE_PRINT(path));
        for (size_t i = 0; i < segment.length; i++)
            FAIL_IF(!is_alphanumeric(segment.at[i]) && !is_one_of(segment.at[i], "._+=@,-"), err,
                    BAD_NAME, i, "the path \"%.*s\" may only have letters, digits and ._+=@,-/",
                    SLICE_PRINT(path));
    }
    return OK;
}

enum status
ref_parse(struct slice text, struct ref *ret_ref, struct err *err)
{
    static const char sha256[] = "sha256:";
    struct ref ref = {.kind = REF_LABEL, .text = text};

    if (slice_starts(text, slice_of(sha256))) {
        ref.kind = REF_DIGEST;
        FAIL_IF(!digest_parse(slice_from(text, sizeof sha256 - 1), &ref.digest), err, BAD_NAME, 0,
                "a digest is sha256: and 64 lower-case hex digits");
    } else if (text.at != NULL && text.length > 0 && text.at[0] == '@') {
        ref.kind = REF_ALIAS;
        ref.text = slice_from(text, 1);
        TRY(ref_check_part("alias", ref.text, err));
    } else if (is_serial(text, &ref.serial)) {
        ref.kind = REF_SERIAL;
    } else {
        TRY(ref_check_label(text, err));
    }
    *ret_ref = ref;
    return OK;
}
