#include "common/formats/safety.h"

#include "tests/support/heap.h"
#include "tests/support/pickle_fixture.h"
#include "tests/support/unit.h"

struct judged {
    struct limits limits;
    struct pickle_budget budget;
    struct inspection in;
    struct safety_judge judge;
};

static void
judged_done(struct judged *j)
{
    safety_done(&j->judge);
    inspection_done(&j->in);
}

static void
judge_as(struct judged *j, struct slice bytes, enum safety_role role)
{
    struct pickle p;

    if (j->judge.in == NULL) {
        if (j->limits.pickle_bytes == 0)
            j->limits = limits_default();
        j->budget = pickle_budget(&j->limits);
        j->in.arena = arena_with_cap(j->limits.arena_bytes);
        safety_begin(&j->judge, &j->in, &j->limits, &j->budget);
    }
    ck_assert_int_eq(pickle_run(bytes, &j->budget, &j->in.arena, &p, NULL), OK);
    ck_assert_int_eq(safety_add(&j->judge, &p, slice_of("data.pkl"), role, NULL), OK);
    ck_assert_int_eq(safety_end(&j->judge, NULL), OK);
}

static void
judge(struct judged *j, struct slice bytes)
{
    judge_as(j, bytes, SAFETY_MAIN);
}

static const struct finding *
find(const struct judged *j, enum finding_id id, const char *subject)
{
    for (size_t i = 0; i < j->in.finding_count; i++)
        if (j->in.findings[i].id == id && slice_is(j->in.findings[i].subject, subject))
            return &j->in.findings[i];
    return NULL;
}

/* Nothing to remark. */
static const struct slice clean[] = {
    B("\x80\x02}(U\x05"
      "epochK\x03u."),
    B("\x80\x02"
      "ccollections\nOrderedDict\n)RNNs}b."),
    B("\x80\x02"
      "cargparse\nNamespace\n)\x81}U\x02lrK\x01sb."),
    B("\x80\x02"
      "cpathlib\nPosixPath\nU\x01/U\x01"
      "a\x86R."),
    B("\x80\x02"
      "ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R."),
    B("\x80\x02"
      "cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\nU\x02"
      "f8\x89\x88\x87RU\x08"
      "12345678\x86R."),
    B("\x80\x02"
      "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01"
      "b\x87R."),
    B("\x80\x02"
      "ccopy_reg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nobject\nNtR}b."),
    B("\x80\x02"
      "cdatetime\ndate\nU\x04"
      "abcd\x85R."),
    B("\x80\x04\x8c\x08"
      "builtins\x8c\x04type\x93N\x85R."),
};

START_TEST(safety__finds_nothing_in_inert_data)
{
    CLEANUP(judged_done) struct judged j = {0};

    judge(&j, clean[_i]);
    ck_assert_msg(j.in.finding_count == 0, "%.*s", SLICE_PRINT(j.in.findings[0].message));
    ck_assert_int_eq(j.in.safety, SAFETY_CLEAN);
}
END_TEST

static const struct {
    struct slice bytes;
    const char *subject;
} unlisted[] = {
    {B("cmy.module\nConfig\n."), "my.module.Config"},
    {B("cmy.module\nConfig\n)\x81}b."), "my.module.Config"},
    {B("N\x8c\x02my\x8c\x05Thing\x93"
       "0."),
     "my.Thing"},
    {B("ca\xe2\x82\xac\nb\n."), "a\xe2\x82\xac.b"},
    /* Inert classes with arguments that they are never saved with. */
    {B("cnumpy\ndtype\nU\x02O8\x89\x88\x87R."), "numpy.dtype"},
    {B("cnumpy\ndtype\nU\x02|O\x89\x88\x87R."), "numpy.dtype"},
    {B("cnumpy.core.multiarray\n_reconstruct\ncmy\nArray\nK\x00\x85U\x01"
       "b\x87R."),
     "numpy.core.multiarray._reconstruct"},
    {B("c__builtin__\ntype\n(U\x01xc__builtin__\nobject\n\x85}tR."), "builtins.type"},
    {B("c_codecs\nencode\nU\x01xU\x03zip\x86R."), "_codecs.encode"},
    {B("ccopy_reg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nlist\nNtR."),
     "copyreg._reconstructor"},
    {B("ccollections\nOrderedDict\n)R)R."), "(a call's result)"},
    {B("ctorch.storage\n_load_from_bytes\nN\x85R."), "torch.storage._load_from_bytes"},
};

START_TEST(safety__names_what_is_not_listed)
{
    CLEANUP(judged_done) struct judged j = {0};

    judge(&j, unlisted[_i].bytes);
    ck_assert_int_eq(j.in.safety, SAFETY_UNLISTED);
    ck_assert_ptr_nonnull(find(&j, FINDING_PICKLE_GLOBAL_UNLISTED, unlisted[_i].subject));
}
END_TEST

/* os.system("id") in every way that the language has, and others as bad. */
static const struct {
    struct slice bytes;
    const char *subject;
} evil[] = {
    {B("\x80\x02"
       "cos\nsystem\nU\x02id\x85R."),
     "os.system"},
    {B("\x80\x02"
       "cposix\nsystem\nU\x02id\x85R."),
     "posix.system"},
    {B("(S'id'\nios\nsystem\n."), "os.system"},
    {B("(cos\nsystem\nU\x02ido."), "os.system"},
    {B("(cos\nsystem\nU\x02ido0}."), "os.system"},
    {B("cos\nsystem\n0}."), "os.system"},
    {B("cos\nsystem\nU\x02id\x85\x81."), "os.system"},
    {B("cos\nsystem\nU\x02id\x85}\x92."), "os.system"},
    {B("\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R."), "os.system"},
    {B("\x80\x04\x8c\x06system\x94"
       "0\x8c\x02os\x94h\x00\x93\x8c\x02id\x85R."),
     "os.system"},
    {B("\x80\x04\x8c\x02os2"
       "0\x8c\x06system\x93\x8c\x02id\x85R."),
     "os.system"},
    {B("\x80\x04\x8c\x02osp9\n0\x8c\x06systemp8\n0g9\ng8\n\x93."), "os.system"},
    {B("\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93."),
     "torch.serialization.os.system"},
    {B("\x80\x04"
       "ctorch\nserialization.os.system\n."),
     "torch.serialization.os.system"},
    {B("\x80\x04"
       "cbuiltins\nint.__class__.__subclasses__\n."),
     "builtins.int.__class__.__subclasses__"},
    {B("c__builtin__\neval\nU\x01"
       "1\x85R."),
     "builtins.eval"},
    {B("ccommands\ngetoutput\nU\x02id\x85R."), "subprocess.getoutput"},
    {B("cfunctools\npartial\ncos\nsystem\nU\x02id\x86R."), "os.system"},
    {B("casyncio.unix_events\n_Unix\n."), "asyncio.unix_events._Unix"},
    {B("cpip\nmain\n]\x85R."), "pip.main"},
    /* The magic number of the legacy format made by a call. */
    {B("\x80\x02"
       "c__builtin__\neval\nU\x19"
       "0x1950a86a20f9469cfc6c+0x0\x85R."),
     "builtins.eval"},
    /* Then garbage: what ran before it has run. */
    {B("cos\nsystem\nU\x02id\x85R\xff\xff\xff"), "os.system"},
    {B("cos\nsystem\n(U\x02idtR"), "os.system"},
    /* Changes to what the program shares. */
    {B("csys\npath\nU\x04/tmpa."), "sys.path"},
    {B("cargparse\nNamespace\nN}U\x01"
       "acmy\nf\ns\x86"
       "b."),
     "argparse.Namespace"},
    {B("cos\nenviron\nU\x01"
       "aU\x01"
       "bs."),
     "os.environ"},
};

START_TEST(safety__calls_a_gadget_dangerous_however_it_is_reached)
{
    CLEANUP(judged_done) struct judged j = {0};
    const struct finding *found;

    judge(&j, evil[_i].bytes);
    ck_assert_int_eq(j.in.safety, SAFETY_DANGEROUS);
    found = find(&j, FINDING_PICKLE_GLOBAL_DANGEROUS, evil[_i].subject);
    ck_assert_ptr_nonnull(found);
    ck_assert(strstr(found->message.at, "Do not load this file") != NULL);
    ck_assert(!j.in.weights_only.loads);
}
END_TEST

START_TEST(safety__shows_a_name_with_a_nul_whole)
{
    CLEANUP(judged_done) struct judged j = {0};

    judge(&j, P("\x80\x02"
                "ccollections\nOrderedDict\x00x\n."));
    ck_assert_int_eq(j.in.safety, SAFETY_UNLISTED);
    ck_assert_uint_eq(j.in.weights_only.need_count, 1);
    ck_assert(slice_equal(j.in.weights_only.needs[0], P("collections.OrderedDict\x00x")));
    ck_assert(slice_equal(j.in.findings[0].subject, P("collections.OrderedDict\x00x")));
}
END_TEST

START_TEST(safety__is_never_clean_for_a_pickle_cut_off_anywhere)
{
    struct slice whole = P("\x80\x02}(U\x05"
                           "epochK\x03U\x01xccollections\nOrderedDict\n)Ru.");

    for (size_t length = 0; length < whole.length; length++) {
        CLEANUP(judged_done) struct judged j = {0};

        judge(&j, slice_part(whole, 0, length));
        ck_assert_int_eq(j.in.safety, SAFETY_MALFORMED);
        ck_assert_ptr_nonnull(find(&j, FINDING_PICKLE_MALFORMED, "data.pkl"));
        ck_assert(!j.in.weights_only.loads);
    }
}
END_TEST

static const struct {
    struct slice bytes;
    enum safety want;
    enum finding_id finding;
} odd[] = {
    {B("\x80\x02N.rest"), SAFETY_CLEAN, FINDING_PICKLE_TRAILING},
    {B("\x80\x02\x80\x02N."), SAFETY_CLEAN, FINDING_PICKLE_ODD},
    {B("}NNsU\x01"
       "aNsU\x01"
       "aNs."),
     SAFETY_CLEAN, FINDING_PICKLE_ODD},
    {B("ccollections\nOrderedDict\n)R0N."), SAFETY_CLEAN, FINDING_PICKLE_ODD},
    {B("\x82\x01."), SAFETY_MALFORMED, FINDING_PICKLE_MALFORMED},
    {B("\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00\x8c\x04"
       "abcd."),
     SAFETY_MALFORMED, FINDING_PICKLE_MALFORMED},
    {B("\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00\x8c\x04"
       "abcd."),
     SAFETY_MALFORMED, FINDING_PICKLE_ODD},
};

START_TEST(safety__remarks_what_no_pickler_writes)
{
    CLEANUP(judged_done) struct judged j = {0};

    judge(&j, odd[_i].bytes);
    ck_assert_int_eq(j.in.safety, odd[_i].want);
    ck_assert_ptr_nonnull(find(&j, odd[_i].finding, "data.pkl"));
}
END_TEST

START_TEST(safety__is_malformed_at_a_limit)
{
    CLEANUP(judged_done) struct judged j = {.limits = limits_default()};

    j.limits.pickle_nodes = 3;
    judge(&j, P("(NNNNt."));
    ck_assert_int_eq(j.in.safety, SAFETY_MALFORMED);
    ck_assert_ptr_nonnull(find(&j, FINDING_PICKLE_LIMIT, "data.pkl"));
}
END_TEST

START_TEST(safety__names_a_global_once)
{
    CLEANUP(judged_done) struct judged j = {0};

    judge(&j, P("cmy\nA\n)R0cmy\nA\n)R."));
    judge_as(&j, P("cmy\nA\n."), SAFETY_EXTRA);
    ck_assert_uint_eq(j.in.finding_count, 2); /* it, and the result thrown away */
}
END_TEST

/* Nested pickles. */

static const struct {
    struct slice bytes;
    enum safety want;
    const char *subject; /* of a finding; NULL: none */
} nested[] = {
    /* _load_from_bytes(b"\x80\x02N.") */
    {B("ctorch.storage\n_load_from_bytes\nC\x04\x80\x02N.\x85R."), SAFETY_CLEAN, NULL},
    {B("ctorch.storage\n_load_from_bytes\nC\x0d"
       "cos\nsystem\n)R\x85R."),
     SAFETY_DANGEROUS, "os.system"},
    {B("ctorch.storage\n_load_from_bytes\nC\x05"
       "cm\nf\n\x85R."),
     SAFETY_MALFORMED, "m.f"},
    {B("ctorch.storage\n_load_from_bytes\nC\x06"
       "cm\nf\n.\x85R."),
     SAFETY_UNLISTED, "m.f"},
    /* as protocol 2 writes bytes: 0xC2 0x80 is 0x80 */
    {B("ctorch.storage\n_load_from_bytes\nc_codecs\nencode\nX\x09\x00\x00\x00\xc2\x80\x02"
       "cm\nf\n.X\x06\x00\x00\x00latin1\x86R\x85R."),
     SAFETY_UNLISTED, "m.f"},
    {B("cpickle\nloads\nC\x06"
       "cm\nf\n.\x85R."),
     SAFETY_DANGEROUS, "m.f"},
    {B("c_pickle\nloads\nU\x06"
       "cm\nf\n.\x85R."),
     SAFETY_DANGEROUS, "m.f"},
    {B("ctorch\nload\nc_io\nBytesIO\nC\x06"
       "cm\nf\n.\x85R\x85R."),
     SAFETY_DANGEROUS, "m.f"},
    {B("ctorch.storage\n_load_from_bytes\nC\x06PK\x03\x04zz\x85R."), SAFETY_UNLISTED,
     "torch.storage._load_from_bytes"},
    /* the legacy format: five pickles, the fourth of them evil */
    {B("ctorch.storage\n_load_from_bytes\nC\x2c\x80\x02\x8a\x0al\xfc\x9c"
       "F\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.cm\nf\n.\x80\x02].raw bytes\x85R."),
     SAFETY_UNLISTED, "m.f"},
    /* two deep */
    {B("ctorch.storage\n_load_from_bytes\nC\x2b"
       "ctorch.storage\n_load_from_bytes\nC\x06"
       "cm\nf\n.\x85R.\x85R."),
     SAFETY_UNLISTED, "m.f"},
};

START_TEST(safety__looks_into_nested_pickles)
{
    CLEANUP(judged_done) struct judged j = {0};
    bool found = nested[_i].subject == NULL;

    judge(&j, nested[_i].bytes);
    for (size_t i = 0; i < j.in.finding_count; i++)
        found = found || slice_is(j.in.findings[i].subject, nested[_i].subject);
    ck_assert_int_eq(j.in.safety, nested[_i].want);
    ck_assert(found);
}
END_TEST

/* _load_from_bytes(_load_from_bytes(… ten times, os.system in the innermost. */
START_TEST(safety__stops_at_the_nesting_limit_and_is_not_clean)
{
    static const char head[] = "ctorch.storage\n_load_from_bytes\nB";
    CLEANUP(judged_done) struct judged j = {0};
    char inner[1024] = "N.", outer[1024];
    size_t length = 2;

    for (int depth = 0; depth < 10; depth++) {
        uint32_t told = (uint32_t)length;
        size_t at = sizeof head - 1;

        memcpy(outer, head, at);
        memcpy(outer + at, &told, 4);
        memcpy(outer + at + 4, inner, length);
        memcpy(outer + at + 4 + length, "\x85R.", 3);
        length = at + 4 + length + 3;
        memcpy(inner, outer, length);
    }
    judge(&j, (struct slice){inner, length});
    ck_assert_int_eq(j.in.safety, SAFETY_MALFORMED);
    ck_assert_ptr_nonnull(find(&j, FINDING_PICKLE_LIMIT, "torch.storage._load_from_bytes"));
}
END_TEST

START_TEST(safety__does_not_run_one_nested_pickle_over_and_over)
{
    CLEANUP(judged_done) struct judged j = {.limits = limits_default()};

    j.limits.pickle_bytes = 100;
    judge(&j, P("ctorch.storage\n_load_from_bytes\nq\x00"
                "C\x1e\x80\x02\x80\x02\x80\x02\x80\x02\x80\x02\x80"
                "\x02\x80\x02\x80\x02\x80\x02\x80\x02\x80\x02\x80\x02\x80\x02\x80\x02N.\x85q\x01R"
                "h\x00h\x01Rh\x00h\x01Rh\x00h\x01R\x87."));
    ck_assert_int_eq(j.in.safety, SAFETY_MALFORMED);
    ck_assert_ptr_nonnull(find(&j, FINDING_PICKLE_LIMIT, "torch.storage._load_from_bytes"));
}
END_TEST

/* weights_only, of the whole file. */

START_TEST(safety__sorts_the_needs_and_names_each_once)
{
    CLEANUP(judged_done) struct judged j = {0};

    judge(&j, P("\x80\x02"
                "cz\nB\ncz\nA\ncz\nB\n\x87."));
    judge(&j, P("\x80\x02"
                "cz\nA\n."));
    ck_assert(j.in.weights_only.applies);
    ck_assert(!j.in.weights_only.loads);
    ck_assert_uint_eq(j.in.weights_only.need_count, 2);
    ck_assert(slice_is(j.in.weights_only.needs[0], "z.A"));
    ck_assert(slice_is(j.in.weights_only.needs[1], "z.B"));
    ck_assert_uint_eq(j.in.weights_only.reason.length, 0);
}
END_TEST

START_TEST(safety__lets_the_container_refuse)
{
    CLEANUP(judged_done) struct judged j = {0};

    judge(&j, P("\x80\x02N."));
    ck_assert(j.in.weights_only.loads);
    ck_assert_int_eq(safety_refuse(&j.judge, NULL, "a %s archive", "TorchScript"), OK);
    ck_assert_int_eq(safety_refuse(&j.judge, NULL, "another reason"), OK);
    ck_assert_int_eq(safety_end(&j.judge, NULL), OK);
    ck_assert(!j.in.weights_only.loads);
    ck_assert(slice_is(j.in.weights_only.reason, "a TorchScript archive"));
}
END_TEST

START_TEST(safety__asks_weights_only_of_the_main_pickle_alone)
{
    CLEANUP(judged_done) struct judged j = {0};

    judge_as(&j, P("cz\nA\n."), SAFETY_EXTRA);
    ck_assert(!j.in.weights_only.applies);
    ck_assert_uint_eq(j.in.weights_only.need_count, 0);
    ck_assert_int_eq(j.in.safety, SAFETY_UNLISTED);
}
END_TEST

START_TEST(safety__keeps_the_worst)
{
    CLEANUP(judged_done) struct judged j = {0};

    judge(&j, P("cos\nsystem\n."));
    judge(&j, P("N"));
    ck_assert_int_eq(j.in.safety, SAFETY_DANGEROUS);
    safety_at_least(&j.judge, SAFETY_UNLISTED);
    ck_assert_int_eq(safety_end(&j.judge, NULL), OK);
    ck_assert_int_eq(j.in.safety, SAFETY_DANGEROUS);
}
END_TEST

/* Run and judge with the n-th allocation and all after it failing; false where none was left to fail. */
static bool
judge_without_memory(struct slice bytes, size_t successes)
{
    CLEANUP(judged_done) struct judged j = {.limits = limits_default()};
    struct pickle p;
    struct err err = {0};
    enum status status;

    j.budget = pickle_budget(&j.limits);
    j.in.arena = arena_with_cap(j.limits.arena_bytes);
    safety_begin(&j.judge, &j.in, &j.limits, &j.budget);
    heap_fail_after(successes);
    status = pickle_run(bytes, &j.budget, &j.in.arena, &p, &err);
    if (status == OK)
        status = safety_add(&j.judge, &p, slice_of("data.pkl"), SAFETY_MAIN, &err);
    if (status == OK)
        status = safety_end(&j.judge, &err);
    heap_heal();
    ck_assert(status == OK || status == ERR_NO_MEMORY);
    ck_assert_int_eq(err.code, status);
    return status != OK;
}

START_TEST(safety__survives_running_out_of_memory_anywhere)
{
    struct slice bytes = P(
        "\x80\x02}(K\x01r\xff\xff\xff\x7fNK\x02NK\x03NK\x04NK\x05NK\x06NK\x07NK\x08NK\x09Nucmy\nA\n"
        "ctorch.storage\n_load_from_bytes\nC\x0d"
        "cos\nsystem\n)R\x85R\x87.");
    size_t successes = 0;

    while (judge_without_memory(bytes, successes))
        successes++;
    ck_assert_uint_gt(successes, 5);
}
END_TEST

/* What real programs wrote: tests/interop/make_pickle_cases.py. */
static const struct {
    const char *name;
    const char *shown; /* a part */
    enum safety safety;
    bool loads;
    size_t needs;
} files[] = {
    {"state-dict-2",
     "'0.weight': torch._utils._rebuild_tensor_v2(@('storage', torch.FloatStorage, '0', 'cpu', 6), "
     "0, "
     "(2, 3), (3, 1), False, collections.OrderedDict())",
     SAFETY_CLEAN, true, 0},
    {"state-dict-4",
     "'0.weight': torch._utils._rebuild_tensor_v2(@('storage', torch.FloatStorage, '0', 'cpu', 6), "
     "0, "
     "(2, 3), (3, 1), False, collections.OrderedDict())",
     SAFETY_CLEAN, false, 0},
    {"state-dict-2",
     "<-{'_metadata': collections.OrderedDict(){'': {'version': 1}, '0': {'version': 1},",
     SAFETY_CLEAN, true, 0},
    {"objects-2", "'args': argparse.Namespace()<-{'lr': 0.5}", SAFETY_UNLISTED, false, 11},
    {"objects-4", "'path': pathlib.PurePosixPath('/', 'a', 'b')", SAFETY_UNLISTED, false, 11},
    {"objects-4", "'default': collections.defaultdict(builtins.list){'a': [1]}", SAFETY_UNLISTED,
     false, 11},
    {"module", "torch.nn.modules.container.Sequential()<-{'training': True", SAFETY_UNLISTED, false,
     3},
    {"nested", "torch.storage._load_from_bytes(", SAFETY_CLEAN, false, 1},
};

START_TEST(safety__reads_and_judges_what_pytorch_saves)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    CLEANUP(inspection_done) struct inspection in = {0};
    CLEANUP(safety_done) struct safety_judge s = {0};
    char path[256];
    struct slice bytes;

    (void)snprintf(path, sizeof path, "%s/pickle-machine/%s.pkl", CASES_DIR, files[_i].name);
    bytes = fixture_file(path);
    fixture_run(&f, bytes);
    ck_assert(f.pickle.is_complete);
    ck_assert_msg(strstr(f.shown.bytes, files[_i].shown) != NULL, "%s", f.shown.bytes);
    in.arena = arena_with_cap(1 << 20);
    safety_begin(&s, &in, &f.limits, &f.budget);
    ck_assert_int_eq(safety_add(&s, &f.pickle, slice_of("data.pkl"), SAFETY_MAIN, NULL), OK);
    ck_assert_int_eq(safety_end(&s, NULL), OK);
    ck_assert_int_eq(in.safety, files[_i].safety);
    ck_assert_int_eq(in.weights_only.loads, files[_i].loads);
    ck_assert_uint_eq(in.weights_only.need_count, files[_i].needs);
    free((void *)(uintptr_t)bytes.at);
}
END_TEST

START_TEST(safety__survives_each_file_cut_off_at_every_byte)
{
    char path[256];
    struct slice bytes;

    (void)snprintf(path, sizeof path, "%s/pickle-machine/%s.pkl", CASES_DIR, files[_i].name);
    bytes = fixture_file(path);
    for (size_t length = 0; length < bytes.length; length++) {
        CLEANUP(fixture_done) struct fixture f = {0};

        fixture_run(&f, slice_part(bytes, 0, length));
        ck_assert(!f.pickle.is_complete);
        ck_assert_uint_le(f.pickle.end, length);
    }
    free((void *)(uintptr_t)bytes.at);
}
END_TEST

SUITE(safety)
{
    return suite_with(
        "safety", LOOP(safety__finds_nothing_in_inert_data, clean),
        LOOP(safety__names_what_is_not_listed, unlisted),
        TEST(safety__shows_a_name_with_a_nul_whole),
        LOOP(safety__calls_a_gadget_dangerous_however_it_is_reached, evil),
        TEST(safety__is_never_clean_for_a_pickle_cut_off_anywhere),
        LOOP(safety__remarks_what_no_pickler_writes, odd), TEST(safety__is_malformed_at_a_limit),
        TEST(safety__names_a_global_once), LOOP(safety__looks_into_nested_pickles, nested),
        TEST(safety__stops_at_the_nesting_limit_and_is_not_clean),
        TEST(safety__does_not_run_one_nested_pickle_over_and_over),
        TEST(safety__sorts_the_needs_and_names_each_once), TEST(safety__lets_the_container_refuse),
        TEST(safety__asks_weights_only_of_the_main_pickle_alone), TEST(safety__keeps_the_worst),
        TEST(safety__survives_running_out_of_memory_anywhere),
        LOOP(safety__reads_and_judges_what_pytorch_saves, files),
        LOOP(safety__survives_each_file_cut_off_at_every_byte, files));
}
