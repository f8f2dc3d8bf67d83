/* The formats that are read. Order matters only between equally sure probes: the earlier wins. */
#include "common/formats/format.h"

/* clang-format off: one a line */
const struct format *const format_table[] = {
    &format_safetensors, /* JSON header, then bytes */
    &format_torch_zip,   /* torch.save since 1.6, and any zip that no other format claims */
    &format_torchscript,
    &format_torch_export,
    &format_torch_legacy, /* torch.save before 1.6 */
    &format_torch_tar,    /* PyTorch 0.1 */
    &format_pickle,
    &format_gguf,
    &format_numpy,
    &format_onnx, /* has no magic: it must be surer than chance */
    &format_safetensors, &format_torch_export, &format_torch_zip, &format_torchscript, NULL,
    &format_safetensors,
    &format_torch_dcp,
    &format_torch_zip,
    &format_safetensors,
    &format_torch_dcp,
    &format_torch_export,
    &format_torch_zip,
    &format_torchscript,
    &format_torch_legacy,
    &format_torch_tar,
    &format_gguf,
    &format_numpy,
    &format_onnx,
    &format_pickle,
    NULL,
};
/* clang-format on */
