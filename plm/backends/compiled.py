"""The `compiled` backend: the whole forward pass as one program, made by torch.compile.

Batch and length are free in it, so that there are few programs: one for batches, one for single texts, and one more of
each for texts of a single token. All but the last are compiled at loading, which takes minutes the first time; what
was compiled is kept in the user's cache folder and taken from there the next time.

Measured on one thread of a CPU with AVX-512, in ratio to the `torch` backend: bfloat16 up to 1.3 times the speed on
full rectangles, float32 the same; on batches with much padding it is slower, because it computes the padding (hand it
texts of like length together, as pipelines do). Packed texts, whose lengths are part of a program, are not taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._inductor import exc
from torch._inductor.cpp_builder import get_cpp_compiler
from tqdm import tqdm

from plm.backends.batch import Inputs
from plm.backends.eager import load_trained
from plm.backends.runner import Arrays
from plm.checkpoints.verification import CHOICE_HEADS
from plm.errors import BackendUnavailable
from plm.heads.model import Model

# Leading dimensions of the batches that are compiled at loading: several texts, and one. Two sizes of a batch that are
# equal would be taken for one and the same, so none of them is.
WARM = ((3,), (1,))
WARM_CHOICES = ((3, 2), (1, 2))
WARM_LENGTH = 5

# Where freezing weights into the program pays: the compiler then brings them into the layout of its kernels, which is
# 1.3 times as fast in bfloat16, and changes nothing in float32, whose kernels for free sizes have no such layout.
FROZEN = (torch.bfloat16,)


class CompiledRunner:
    """Runs a Model that nobody trains any more as a compiled program.

    model: put into evaluation mode, and no longer to be changed. Of several heads the first one answers.
    Raises BackendUnavailable where there is no C++ compiler.
    """

    takes_packed = False

    def __init__(self, model: Model) -> None:
        require_compiler()
        self.config = model.config
        self._inputs = Inputs.of(model.config, takes_packed=False)
        self._types = bool(model.config.type_vocab_size)
        self._model = model.eval().requires_grad_(False)
        freezing = model.dtype in FROZEN
        self._program = torch.compile(self._model, dynamic=True, options={"freezing": freezing})

    def run(self, batch: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """See Runner.run, and Inputs.checked for errors; padded texts alone. bfloat16 results come back as float32."""
        checked = self._inputs.checked(batch)
        arguments = {name: torch.tensor(array, device=self._model.device) for name, array in checked.items()}
        if self._types and "token_type_ids" not in arguments:  # a call without them would be another program
            arguments["token_type_ids"] = torch.zeros_like(arguments["input_ids"])
        with torch.inference_mode():
            output = self._program(**arguments)
        return {name: output[name].float().cpu().numpy() for name in output}

    def warm_up(self) -> None:
        """Compile now what most calls need."""
        choices = next(iter(self._model.heads), None) in CHOICE_HEADS
        length = min(self.config.longest_text or WARM_LENGTH, WARM_LENGTH)
        shapes = [(*leading, length) for leading in (WARM_CHOICES if choices else WARM)]
        for shape in tqdm(shapes, desc="compiling (kept for the next time)", unit="program", disable=None, leave=False):
            self.run({name: np.ones(shape, dtype=np.int64) for name in ("input_ids", "attention_mask")})


def load_compiled(folder: Path, head: str | None, dtype: str) -> CompiledRunner:
    """A warm runner for a checkpoint of any known layout; errors as of load_trained, and of CompiledRunner."""
    require_compiler()
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder()))
    runner = CompiledRunner(load_trained(folder, head, dtype))
    runner.warm_up()
    return runner


def cache_folder() -> Path:
    """Where compiled programs are kept: plm/compiled in XDG_CACHE_HOME, or in ~/.cache.

    TORCHINDUCTOR_CACHE_DIR, if set, wins, as for all users of torch.compile.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plm" / "compiled"


def has_compiler() -> bool:
    """True where torch finds a C++ compiler."""
    try:
        get_cpp_compiler()
    except (exc.InvalidCxxCompiler, OSError):
        return False
    return True


def require_compiler() -> None:
    """Raises BackendUnavailable where `has_compiler` says no."""
    if not has_compiler():
        raise BackendUnavailable(
            "compiling needs a C++ compiler (g++ or clang++ on the PATH, or named by CXX): install one, or take the "
            'backend "torch"'
        )
