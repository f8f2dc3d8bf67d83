/* tests/interop/check_weights_only.py holds a thousand cases against PyTorch itself; here are the
 * kinds of them, as PyTorch 2.13 answers. */
#include "common/formats/weights_only.h"

#include "tests/support/pickle_fixture.h"
#include "tests/support/unit.h"

#define ORDERED "ccollections\nOrderedDict\n)R"
#define STORAGE \
    "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00" \
    "0X\x03\x00\x00\x00" \
    "cpuK\x06tQ"

static const struct {
    struct slice bytes;
    const char *needs;  /* joined by spaces */
    const char *reason; /* a part of it; "": none */
} rows[] = {
    {B("\x80\x02N."), "", ""},
    {B("\x80\x02}(X\x01\x00\x00\x00"
       "aK\x01u."),
     "", ""},
    {B("\x80\x02" ORDERED "NNs}b."), "", ""},
    {B("\x80\x02" STORAGE "."), "", ""},
    {B("\x80\x02"
       "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE
       "K\x00K\x02K\x03\x86K\x03K\x01\x86\x89" ORDERED "tR."),
     "", ""},
    {B("\x80\x09N."), "", ""},
    /* Opcodes. */
    {B("\x80\x04\x8c\x01"
       "a."),
     "", "opcode 0x8c"},
    {B("I1\n."), "", "opcode 0x49"},
    {B("N0N."), "", "opcode 0x30"},
    {B("(ios\nsystem\n."), "", "opcode 0x69"},
    /* Globals. */
    {B("\x80\x02"
       "cargparse\nNamespace\n)\x81}b."),
     "argparse.Namespace", ""},
    {B("\x80\x02"
       "cmy\nB\n0cmy\nA\ncmy\nB\n\x86."),
     "my.B my.A", "opcode 0x30"},
    {B("\x80\x02"
       "c__builtin__\ngetattr\n."),
     "builtins.getattr", ""},
    {B("\x80\x02"
       "cos\nsystem\n."),
     "", "module os is blocked"},
    {B("\x80\x02"
       "cos.path\njoin\n."),
     "os.path.join", ""},
    {B("\x80\x02"
       "ctorch\n_utils._rebuild_tensor_v2\n."),
     "", ""},
    {B("\x80\x02"
       "cnumpy\ndtype\nU\x02"
       "f8\x89\x88\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb."),
     "numpy.dtype numpy.dtypes.Float64DType", ""},
    /* What may be called, and with what. */
    {B("\x80\x02"
       "ctorch\nfloat32\n)R."),
     "", "cannot be called so"},
    {B("\x80\x02"
       "ctorch._utils\n_rebuild_tensor_v2\n)\x81."),
     "", "cannot be called so"},
    {B("\x80\x02"
       "ctorch._utils\n_rebuild_tensor_v2\n)R."),
     "", "arguments"},
    {B("\x80\x02"
       "ccollections\nOrderedDict\nK\x01\x85R."),
     "", "arguments"},
    {B("\x80\x02"
       "ccollections\nOrderedDict\n]R."),
     "", ""},
    {B("\x80\x02" ORDERED ")R."), "", "another call returned"},
    {B("\x80\x02K\x01)R."), "", "cannot be read to its end"},
    /* What may be filled. */
    {B("\x80\x02"
       "ccollections\ndefaultdict\n)RNNs."),
     "collections.defaultdict", "sets items"},
    {B("\x80\x02"
       "ccollections\ndeque\n)R](Ne0."),
     "collections.deque", "opcode 0x30"},
    {B("\x80\x02"
       "ccollections\ndeque\n)RNa."),
     "collections.deque", "appends to lists only"},
    {B("\x80\x02]NaK\x00Ns."), "", "no container"},
    {B("\x80\x02)(e."), "", "no container"},
    {B("\x80\x02" ORDERED "Nb."), "", "a state"},
    {B("\x80\x02"
       "ctorch\nSize\n)R}U\x01"
       "aNsb."),
     "", "a state"},
    {B("\x80\x02"
       "ctorch\nTensor\nN}\x86"
       "b."),
     "", "no container"},
    /* Storages. */
    {B("\x80\x02K\x01Q."), "", "no storage's"},
    {B("\x80\x02(U\x06moduleNU\x01"
       "0U\x03"
       "cpuK\x01tQ."),
     "", "no storage's"},
    {B("\x80\x02(U\x07storageNU\x01"
       "0U\x03"
       "cpuK\x01tQ."),
     "", "no storage class"},
    {B("\x80\x02(U\x07storagectorch\nFloatStorage\nU\x01"
       "0U\x03"
       "cpuK\x01NtQ."),
     "", "no storage's"},
    {B("\x80\x02(U\x07storagectorch\nFloatStorage\nU\x01"
       "0NK\x01tQ."),
     "", "location"},
    {B("\x80\x02(U\x07storagectorch\nFloatStorage\nU\x01"
       "0U\x06"
       "cuda:0K\x01tQ."),
     "", ""},
    {B("\x80\x02(U\x07storagectorch\nFloatStorage\nU\x01"
       "0U\x05"
       "cudasK\x01tQ."),
     "", "location"},
    {B("\x80\x02(U\x07storagectorch\nFloatStorage\nU\x01"
       "0U\x04"
       "cpu1K\x01tQ."),
     "", "location"},
    /* Text. */
    {B("\x80\x02U\x01\xff."), "", "not UTF-8"},
    {B("\x80\x02X\x03\x00\x00\x00\xed\xa0\x80."), "", ""},
    {B("\x80\x02N"), "", "cannot be read"},
};

static struct slice
judge(struct fixture *f, struct slice bytes, bool is_legacy, struct buf *needs)
{
    struct vec names = vec_of(sizeof(struct slice), 100);
    struct slice reason;

    fixture_run(f, bytes);
    ck_assert_int_eq(weights_only_judge(&f->pickle, is_legacy, &f->arena, &names, &reason, NULL),
                     OK);
    buf_text(needs, "");
    for (size_t i = 0; i < names.count; i++) {
        buf_text(needs, i > 0 ? " " : "");
        buf_slice(needs, VEC_AT(&names, struct slice, i));
    }
    vec_done(&names);
    return reason;
}

START_TEST(weights_only__answers_as_pytorch_does)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    CLEANUP(buf_done) struct buf needs = buf_with_cap(4096);
    struct slice reason = judge(&f, rows[_i].bytes, false, &needs);

    if (*rows[_i].reason == '\0')
        ck_assert_msg(reason.length == 0, "%.*s", SLICE_PRINT(reason));
    else
        ck_assert_msg(reason.length > 0 && strstr(reason.at, rows[_i].reason) != NULL, "%.*s",
                      SLICE_PRINT(reason));
    ck_assert_str_eq(needs.bytes, rows[_i].needs);
}
END_TEST

START_TEST(weights_only__takes_the_old_formats_storages_with_a_view_only)
{
    CLEANUP(fixture_done) struct fixture with = {0}, without = {0};
    CLEANUP(buf_done) struct buf needs = buf_with_cap(4096);
    struct slice view = P("\x80\x02(U\x07storagectorch\nFloatStorage\nU\x01"
                          "0U\x03"
                          "cpuK\x01NtQ.");

    ck_assert_uint_eq(judge(&with, view, true, &needs).length, 0);
    ck_assert_uint_gt(judge(&without, P("\x80\x02" STORAGE "."), true, &needs).length, 0);
}
END_TEST

SUITE(weights_only)
{
    return suite_with("weights_only", LOOP(weights_only__answers_as_pytorch_does, rows),
                      TEST(weights_only__takes_the_old_formats_storages_with_a_view_only));
}
