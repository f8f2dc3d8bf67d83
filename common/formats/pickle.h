#pragma once
/*
 * The inert pickle machine. It runs Python's pickle language, protocols 0 to 5, and never anything
 * else: what a pickle would import is a name, what it would call is a record of the call. A hostile
 * pickle costs its own bytes and the budget, no recursion, no hashing of its objects.
 *
 * The machine is a superset of the loaders: it stops where each of them would stop, and remarks what
 * only some of them take (enum pickle_odd). What it saw before it stopped is kept.
 *
 * Values are 16 bytes, passed by copy. Texts and bytes are borrowed from the pickle's own bytes,
 * everything else lives in the arena; both must outlive the values. Cycles are legal: whoever walks
 * values bounds the depth (limits->pickle_depth) and the number of steps himself, since a value may
 * also stand in many places. Read-only once run; then for any number of threads.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/slice.h"

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,    /* fits an int64 */
    PICKLE_BIGINT, /* bytes: two's complement, little-endian; or, if is_raw, its text */
    PICKLE_FLOAT,
    PICKLE_STR, /* UTF-8, where surrogates may stand; is_raw: Python 2's str, any bytes */
    PICKLE_BYTES,
    PICKLE_BYTEARRAY,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,
    PICKLE_SET,
    PICKLE_FROZENSET,
    PICKLE_GLOBAL,     /* a name of a module: a class, a function, anything */
    PICKLE_CALL,       /* what a call would have returned */
    PICKLE_PERSISTENT, /* what a loader's persistent_load would have returned */
    PICKLE_EXTENSION,  /* what copyreg's registry holds under the code in integer */
    PICKLE_TENSOR,     /* a call of torch._utils._rebuild_tensor_v2, folded: pickle_tensor.h */
    PICKLE_KIND_COUNT
};

struct pickle_value {
    uint8_t kind;       /* enum pickle_kind */
    bool is_raw;        /* see BIGINT and STR */
    bool is_unhashable; /* a list, dict, set …, or a tuple with one in it: no dict's key */
    uint32_t count;     /* bytes or items of an immutable value */
    union {
        bool truth;
        int64_t integer;
        double real;
        const char *bytes;
        const struct pickle_value *items; /* TUPLE */
        struct pickle_list *list;         /* LIST, SET, FROZENSET */
        struct pickle_dict *dict;
        struct pickle_global *global;
        struct pickle_call *call;
        const struct pickle_persistent *persistent;
        const struct pickle_tensor *tensor;
    } is;
};

struct pickle_pair {
    struct pickle_value key;
    struct pickle_value value;
};

struct pickle_list {
    struct pickle_value *items;
    uint32_t count;
    uint32_t capacity;
};

/* In order of first insertion. A text or a number stands once; of other keys, which only Python could
 * compare, each insertion is kept. */
struct pickle_dict {
    struct pickle_pair *pairs;
    uint32_t count;
    uint32_t capacity;
    struct pickle_dict *next; /* the machine's */
};

/* What is known of a global: pickle_globals.h. */
enum pickle_listing {
    PICKLE_UNLISTED,
    PICKLE_INERT,
    PICKLE_LOADER, /* loads a pickle out of its bytes: as good as what is in them */
    PICKLE_DANGEROUS,
};

struct pickle_listed {
    enum pickle_listing listing;
    const char *arguments; /* of an inert one; NULL: any */
    const char *what;      /* a dangerous one does: "runs commands" */
};

struct pickle_torch;

/* One name, however often it is used. */
struct pickle_global {
    struct slice module; /* as spelled, valid UTF-8, never empty */
    struct slice name;
    struct slice modern_module; /* as Python 3 spells it: builtins for __builtin__ */
    struct slice modern_name;
    uint64_t offset; /* of the first opcode that gave it */
    uint64_t count;
    bool is_walked;        /* dots in the name are attributes to follow: protocol 4 or later */
    bool makes_unhashable; /* its objects cannot be keys */
    bool folds;            /* torch._utils._rebuild_tensor_v2: its calls may be folded */
    bool is_changed;       /* the pickle would set attributes or items on it */
    uint64_t changed_at;
    struct pickle_listed listed;
    const struct pickle_torch *torch; /* its row of weights_only's list, or NULL */
    struct pickle_global *next;       /* in order of first use; NULL: the last */
};

enum pickle_call_kind {
    PICKLE_REDUCE,
    PICKLE_NEWOBJ,
    PICKLE_NEWOBJ_EX,
    PICKLE_OBJ,
    PICKLE_INST,
};

/* A call, recorded when its opcode ran, whatever became of the result. */
struct pickle_call {
    struct pickle_call *next; /* in order of the opcodes; NULL: the last */
    uint64_t offset;
    enum pickle_call_kind kind;
    struct pickle_value callable; /* GLOBAL as a rule; never a plain value */
    struct pickle_value args;     /* TUPLE as a rule */
    struct pickle_extra *extra;   /* NULL as a rule; through pickle_items and its sisters */
};

/* A persistent id that was asked for. */
struct pickle_persistent {
    struct pickle_value id;
    uint64_t offset;
    struct pickle_persistent *next; /* in order of the opcodes; NULL: the last */
};

/* The call by which torch.save writes nearly every tensor, when all of it is as torch.save writes it:
 *
 *     _rebuild_tensor_v2(persistent('storage', class, key, location, elements[, None]),
 *                        first, size, stride, requires_grad, OrderedDict())
 *
 * Of these the lists of calls and persistent ids keep one each for every kind; what holds of that one,
 * holds of the others. */
struct pickle_tensor_kind {
    const struct pickle_global *function;
    const struct pickle_global *storage_class;
    const struct pickle_global *hooks; /* collections.OrderedDict */
    struct slice location;
    bool has_view; /* the id's sixth part, None, as the format before zips has it */
};

struct pickle_tensor {
    const struct pickle_tensor_kind *kind;
    struct pickle_tensor *next; /* in order of the opcodes; NULL: the last */
    const char *key;
    int64_t elements; /* of the storage */
    int64_t first;    /* element of it */
    uint32_t key_length;
    uint32_t offset; /* of the call's opcode */
    uint32_t rank;
    bool requires_grad;
    int64_t dims[]; /* rank sizes, none negative; then rank strides */
};

/* What happened to a call's result. */
struct pickle_extra {
    struct pickle_value kwargs;  /* NEWOBJ_EX: DICT as a rule, else NONE */
    struct pickle_list states;   /* given by BUILD, in order */
    struct pickle_list appended; /* APPEND, APPENDS, ADDITEMS */
    struct pickle_dict items;    /* SETITEM, SETITEMS */
    bool is_set;                 /* SETITEM or SETITEMS ran, were it for no item */
};

/* Remarks: taken by some loader, written by none. */
enum pickle_odd {
    PICKLE_ODD_PROTO = 1 << 0,      /* PROTO not first, repeated, or of no known protocol */
    PICKLE_ODD_FRAME = 1 << 1,      /* frames that loaders read differently */
    PICKLE_ODD_DUPLICATE = 1 << 2,  /* a dict's key set twice */
    PICKLE_ODD_EXTENSION = 1 << 3,  /* EXT1, EXT2, EXT4 */
    PICKLE_ODD_PERSID = 1 << 4,     /* a persistent id as a line of text */
    PICKLE_ODD_NUMBER = 1 << 5,     /* a number spelled as no pickler does */
    PICKLE_ODD_MEMO = 1 << 6,       /* a memo index far beyond the entries, or set twice */
    PICKLE_ODD_STACK = 1 << 7,      /* values or marks left at STOP, or a call's result popped */
    PICKLE_ODD_DOTTED = 1 << 8,     /* dots in a name before protocol 4, where they mean nothing */
    PICKLE_ODD_TARGET = 1 << 9,     /* items, elements or state put into what has none of it */
    PICKLE_ODD_ARGUMENTS = 1 << 10, /* a call's arguments are no tuple, its keywords no dict */
    PICKLE_ODD_TEXT = 1 << 11,      /* half a surrogate pair in a text */
    PICKLE_ODD_RAW = 1 << 12,       /* a Python 2 str that is not UTF-8: bytes, most likely */
};

struct pickle_stream;

/* What all pickles of one file set may use together. begin with pickle_budget(limits). */
struct pickle_budget {
    const struct limits *limits;
    size_t nodes_left;
    size_t memo_left;
};

struct pickle_budget pickle_budget(const struct limits *limits);

/* What a run gave. All-zero is an empty one. Nothing of it needs to be freed. */
struct pickle {
    struct slice bytes; /* as given, with what trails */
    const struct pickle_stream
        *stream;      /* which they were read by, or NULL: they lie so in the file */
    bool is_complete; /* it ended with STOP and problem is OK */
    bool has_stop;
    struct pickle_value root; /* if has_stop */
    uint64_t end;             /* offset after the last opcode that ran: after STOP, what trails */
    struct err problem;       /* why it is not complete: MALFORMED, TRUNCATED, LIMIT */
    unsigned protocol;        /* the highest that PROTO told; 0 without PROTO */
    unsigned odd;             /* enum pickle_odd, or-ed */
    uint64_t opcodes;         /* how many ran */
    uint64_t opcode_set[4];   /* bit b of word w: opcode 64 w + b was there */
    struct pickle_global *globals;         /* first of the list */
    struct pickle_call *calls;             /* first of the list */
    struct pickle_persistent *persistents; /* first of the list */
    struct pickle_tensor *tensors;         /* first of those that were folded, were it for a time */
    size_t global_count;
    size_t call_count; /* that ran, whether the list has them or not */
};

/* Run the first pickle in bytes. A defect of the pickle is no error: ret->problem tells it. ERR_LIMIT
 * is a defect, too; the only error is ERR_NO_MEMORY. ret is filled in any case. */
enum status pickle_run(struct slice bytes, struct pickle_budget *budget, struct arena *arena,
                       struct pickle *ret, struct err *err) MUST_CHECK;

/* Whether the opcode was there. */
bool pickle_used(const struct pickle *p, uint8_t opcode);

/* How Python calls a value's type: "int", "str", "tuple"; "type" for a global, "object" for what a
 * call or a loader made. */
const char *pickle_kind_name(enum pickle_kind kind);

/* "module.name", made in the arena: byte by byte, since a hostile name may hold NULs. */
enum status pickle_dotted(struct slice module, struct slice name, struct arena *arena,
                          struct slice *ret_dotted, struct err *err) MUST_CHECK;

/* "module.name" as Python 3 spells it, made in the arena: of a global, of a call's callable. Else the
 * kind's name. */
enum status pickle_type(struct pickle_value v, struct arena *arena, struct slice *ret_type,
                        struct err *err) MUST_CHECK;

/* Reading values. These return false, NULL or nothing where the value is of another kind, so that a
 * reader may ask first and think later. */

/* A str, Python 2's str, or bytes where text is expected of Python 2. */
bool pickle_text(struct pickle_value v, struct slice *ret_text);
bool pickle_is_text(struct pickle_value v, const char *text);
bool pickle_bytes(struct pickle_value v, struct slice *ret_bytes); /* bytes, bytearray, raw str */
bool pickle_as_int(struct pickle_value v, int64_t *ret_value);     /* an int; a bool is none */
bool pickle_as_u64(struct pickle_value v, uint64_t *ret_value);    /* an int, not negative */
bool pickle_as_bool(struct pickle_value v, bool *ret_value);
bool pickle_as_float(struct pickle_value v, double *ret_value); /* a float or an int */

/* A global by its modern name: pickle_is_global(v, "builtins", "set") is true for __builtin__, too. */
bool pickle_is_global(struct pickle_value v, const char *module, const char *name);

/* What is called. Where PyTorch's old formats put a class's source beside the class, ('module', class,
 * file, source), or (class, file, source), as a persistent id, that is the class. */
struct pickle_value pickle_callable(struct pickle_value call);

/* A call of that global, folded or not. */
bool pickle_is_call(struct pickle_value v, const char *module, const char *name);

/* The call's i-th positional argument; NONE beyond the last. */
struct pickle_value pickle_argument(struct pickle_value call, size_t i);
size_t pickle_argument_count(struct pickle_value call);

struct pickle_items {
    const struct pickle_value *at;
    size_t count;
};

/* The elements of a tuple, list, set, frozenset; of a call of list, tuple, set, frozenset, deque or
 * torch.Size; true also where there are none. */
bool pickle_list(struct pickle_value v, struct pickle_items *ret_items);

struct pickle_pairs {
    const struct pickle_pair *at;
    size_t count;
};

/* The entries of a dict, or of a call of dict, OrderedDict, defaultdict or Counter, in order; also of
 * Python 2's OrderedDict([[k, v], …]). Made in the arena where they must be put together. */
enum status pickle_pairs(struct pickle_value v, struct arena *arena, bool *ret_is_mapping,
                         struct pickle_pairs *ret_pairs, struct err *err) MUST_CHECK;
bool pickle_is_mapping(struct pickle_value v);

/* The value under a text key, the last one set; NULL if there is none. O(n). Of whatever pickle_pairs
 * reads. */
const struct pickle_value *pickle_get(struct pickle_value mapping, const char *key);
const struct pickle_value *pickle_get_slice(struct pickle_value mapping, struct slice key);

/* What BUILD gave to the object, the last where there were several; NULL if nothing. */
const struct pickle_value *pickle_state(struct pickle_value call);

/* The object's attribute of that name, out of its states: dicts, or pairs (dict or None, slots). NULL
 * if there is none. */
const struct pickle_value *pickle_attribute(struct pickle_value call, const char *name);

/* The id of a persistent value; NONE for others. */
struct pickle_value pickle_persistent_id(struct pickle_value v);
