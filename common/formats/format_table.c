/* The formats that are read. Order matters only between equally sure probes: the earlier wins. */
#include "common/formats/format.h"

const struct format *const format_table[] = {
    &format_safetensors,  &format_torch_export,
    &format_torch_zip,    &format_torchscript,
    &format_torch_legacy, &format_torch_tar,
    &format_gguf,         &format_numpy,
    &format_pickle,       NULL,
    &format_safetensors,
    &format_torch_export,
    &format_torch_zip,
    &format_torchscript,
    &format_gguf,
    &format_numpy,
    &format_safetensors, &format_torch_export, &format_torch_zip, &format_torchscript, NULL,
    &format_safetensors,
    &format_torch_zip,
    &format_onnx,
    NULL,
    &format_safetensors, &format_torch_export, &format_torch_zip,
    &format_torchscript, &format_onnx,         NULL,
};
