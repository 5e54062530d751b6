"""Container formats of checkpoints: files to names and tensors, and back.

A third party adds one with `FORMATS.add("name", Format(...))`.
"""

from plm.checkpoints.formats.find import find_weights
from plm.checkpoints.formats.flax_msgpack import FLAX_MSGPACK
from plm.checkpoints.formats.format import FORMATS, Format
from plm.checkpoints.formats.keras_h5 import KERAS_H5
from plm.checkpoints.formats.mindspore import MINDSPORE
from plm.checkpoints.formats.numpy_npz import NUMPY_NPZ
from plm.checkpoints.formats.openai_npy import OPENAI_NPY
from plm.checkpoints.formats.paddle import PADDLE
from plm.checkpoints.formats.paddle_fluid import PADDLE_FLUID
from plm.checkpoints.formats.safetensors import SAFETENSORS
from plm.checkpoints.formats.tf_checkpoint import TF_CHECKPOINT
from plm.checkpoints.formats.torch_bin import TORCH_BIN

__all__ = ["FORMATS", "Format", "find_weights"]

for _format in (
    SAFETENSORS,
    TORCH_BIN,
    PADDLE,
    TF_CHECKPOINT,
    FLAX_MSGPACK,
    KERAS_H5,
    MINDSPORE,
    OPENAI_NPY,
    PADDLE_FLUID,
    NUMPY_NPZ,
):
    FORMATS.add(_format.name, _format)
