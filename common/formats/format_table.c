/* The formats that are read. Order matters only between equally sure probes: the earlier wins. */
#include "common/formats/format.h"

const struct format *const format_table[] = {
    &format_safetensors, /* JSON header, then bytes */
    &format_torch_dcp,   /* .metadata and .distcp files */
    &format_torch_zip,   /* torch.save since 1.6, and any zip that no other format claims */
    &format_torchscript,
    &format_torch_export,
    &format_torch_legacy, /* torch.save before 1.6 */
    &format_torch_tar,    /* PyTorch 0.1 */
    &format_pickle,
    &format_gguf,
    &format_numpy,
    &format_onnx,       /* has no magic: it must be surer than chance */
    &format_keras_hdf5, /* and HDF5 of other writers */
    NULL,
};
