"""The `pt2` backend: a model as one program in one file, which runs without plm, in Python and in C++.

The program is captured by torch.export with free batch and length, and compiled by AOTInductor where there is a C++
compiler: then model.pt2 holds machine code for processors of this kind, and weights. Without a compiler it holds the
captured program, which any torch of the same version runs. Such a file is code: load only what you made or trust.
"""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from plm.backends.batch import Inputs
from plm.backends.compiled import has_compiler
from plm.backends.runner import Arrays
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.exported import require_backend
from plm.checkpoints.store import read_config_file
from plm.checkpoints.verification import CHOICE_HEADS
from plm.errors import CheckpointError, ShapeError
from plm.heads.model import Model
from plm.models.config import ModelConfig

BACKEND = "pt2"
NAME = "model.pt2"

# Sizes to capture the program with; any that differ from each other, and from 0 and 1, which torch takes for fixed.
ROWS, CHOICES, LENGTH = 3, 2, 5


class Pt2Runner:
    """Runs a program that `write_pt2` wrote.

    program: the tensors of `input_names`, in order -> outputs by name.
    choices: True = it takes (batch, choices, length), and (batch, length) otherwise.
    """

    takes_packed = False

    def __init__(self, config: ModelConfig, program: Callable[..., dict[str, Tensor]], *, choices: bool) -> None:
        self.config = config
        self._inputs = Inputs.of(config, takes_packed=False)
        self._dimensions = ("batch", "choices", "length") if choices else ("batch", "length")
        self._program = program

    def run(self, batch: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """See Runner.run; padded texts alone. bfloat16 results come back as float32.

        Raises what Inputs.checked does, and ShapeError for what the program was not captured with.
        """
        given = {name: torch.tensor(array) for name, array in self._inputs.checked(batch).items()}
        names, ids = input_names(self.config), given["input_ids"]
        self._check_captured(given, names)
        usual = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
        with torch.inference_mode():
            output = self._program(*(given.get(name, usual[name]) for name in names))
        return {name: value.float().numpy() for name, value in output.items()}

    def _check_captured(self, given: Mapping[str, Tensor], names: tuple[str, ...]) -> None:
        """A program reads beside its tensors where they have other dimensions than it was captured with."""
        shape = tuple(given["input_ids"].shape)
        if len(shape) != len(self._dimensions):
            raise ShapeError(f"this program takes input_ids of ({', '.join(self._dimensions)}), got {shape}")
        if others := [name for name in given if name not in names]:
            raise ShapeError(
                f"{others[0]}: this program was captured without, as a {self.config.model_type} has no table of them; "
                'backend="torch" and "onnx" look them up among the words'
            )


def input_names(config: ModelConfig) -> tuple[str, ...]:
    """What a program takes, in order: int64 tensors of one shape, (batch, length) or (batch, choices, length)."""
    return ("input_ids", "attention_mask", *(("token_type_ids",) if config.type_vocab_size else ()))


def write_pt2(model: Model, folder: Path, dtype: str) -> list[str]:
    """Write model.pt2; see Export.write."""
    program = _captured(_Program(copy.deepcopy(model).to(as_dtype(dtype))).eval().requires_grad_(False))
    if not has_compiler():
        torch.export.save(program, folder / NAME)
        return [f"there is no C++ compiler here: {NAME} holds the captured program, not machine code"]
    torch._inductor.aoti_compile_and_package(program, package_path=str(folder / NAME))
    return []


def load_pt2(folder: Path, head: str | None, dtype: str) -> Pt2Runner:
    """A runner for what `write_pt2` wrote, whose dtype it keeps.

    Raises CheckpointError for any other folder, for another head, and for a file that is damaged.
    """
    entry = require_backend(folder, BACKEND)
    if entry is None:
        raise CheckpointError(f"{folder}: is no program: plm export {folder} DESTINATION --to pt2 makes one")
    stored = next(iter(entry.plans), None)
    if (None if head is None else entry.name_of(head, folder=folder)) != stored:
        raise CheckpointError(f"{folder}: was exported with the head {stored}, and holds no other answers than its")
    choices = next(iter(entry.kinds), None) in CHOICE_HEADS
    return Pt2Runner(read_config_file(folder), _opened(folder / NAME), choices=choices)


class _Program(nn.Module):
    """A model whose outputs are a plain dictionary."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        output = self.model(input_ids, attention_mask, token_type_ids)
        return {name: output[name] for name in output}


def _captured(program: _Program) -> ExportedProgram:
    config = program.model.config
    choices = next(iter(program.model.heads), None) in CHOICE_HEADS
    length = min(config.longest_text or LENGTH, LENGTH)
    shape = (ROWS, CHOICES, length) if choices else (ROWS, length)
    inputs = tuple(torch.ones(shape, dtype=torch.int64) for _ in input_names(config))
    free = tuple(dict.fromkeys(range(len(shape)), Dim.DYNAMIC) for _ in inputs)
    with torch.no_grad():
        return torch.export.export(program, inputs, dynamic_shapes=free, strict=False)


def _opened(file: Path) -> Callable[..., dict[str, Tensor]]:
    try:
        with zipfile.ZipFile(file) as archive:
            is_compiled = any("/aotinductor/" in name for name in archive.namelist())
        if is_compiled:
            compiled: Callable[..., dict[str, Tensor]] = torch._inductor.aoti_load_package(str(file))
            return compiled
        captured: Callable[..., dict[str, Tensor]] = torch.export.load(file).module()
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{file}: cannot be opened ({error}); export it anew, with this torch") from error
    return captured
