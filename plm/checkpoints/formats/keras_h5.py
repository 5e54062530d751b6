"""Keras weights in HDF5 (`tf_model.h5`), named by the full path of each dataset."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from plm.checkpoints.formats.binary import FileBytes, first_bytes
from plm.checkpoints.formats.format import Format, best_first, existing
from plm.checkpoints.formats.hdf5 import SIGNATURE, read_datasets

NAME = "tf_model.h5"


def find(folder: Path) -> list[Path]:
    """`tf_model.h5`, then other `*.h5` and `*.hdf5`."""
    return best_first([*folder.glob("*.h5"), *folder.glob("*.hdf5")], usual=existing(folder, NAME))


def accepts(path: Path) -> bool:
    """The HDF5 signature."""
    return first_bytes(path, len(SIGNATURE)) == SIGNATURE


def read(path: Path) -> dict[str, Tensor]:
    """All numeric datasets, mapped where they are stored in one piece. Raises CheckpointError (see hdf5.py)."""
    file = FileBytes.open(path)
    tensors: dict[str, Tensor] = {}
    for name, tensor in read_datasets(file):
        if name in tensors:
            raise file.error(f"the name {name!r} comes twice")
        tensors[name] = tensor
    return tensors


KERAS_H5 = Format(name="keras_h5", find=find, accepts=accepts, read=read, looks_for=f"{NAME}, *.h5")
