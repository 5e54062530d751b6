"""Arguments of `from_pretrained` that are of no use: those of transformers, and those of PyTorch to other backends."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from plm.errors import ConfigError

FOREIGN = {
    "attn_implementation": "attention kernels are chosen by the model",
    "device_map": "pass device=",
    "force_download": "delete the folder in the hub's cache",
    "ignore_mismatched_sizes": "heads of another size are always initialised and reported in model.loaded",
    "low_cpu_mem_usage": "weights are always mapped",
    "output_attentions": "ask a plm.Tap for them",
    "output_hidden_states": "ask a plm.Tap for them",
    "output_loading_info": "see model.loaded",
    "return_dict": "outputs have named fields, and to_tuple()",
    "torch_dtype": "pass dtype=",
    "trust_remote_code": "no code of a checkpoint is ever run",
    "use_safetensors": "the best format in the folder is taken; the path of a file names another one",
    "variant": "give the path of the file, such as model.fp16.safetensors",
}


def refuse_foreign(arguments: Collection[str]) -> None:
    """Raise ConfigError for the first argument of transformers that plm does without."""
    for name in arguments:
        if name in FOREIGN:
            raise ConfigError(f"{name!r} is an argument of transformers: {FOREIGN[name]}")


def refuse_torch_only(
    backend: str, heads: Sequence[str], *, config: object, device: object, overrides: Mapping[str, Any]
) -> None:
    """Raise ConfigError for what other backends than PyTorch's cannot follow: they take a checkpoint as it is."""
    changes = [*overrides, *(["config"] if config is not None else [])]
    if changes:
        raise ConfigError(
            f'{changes[0]}: backend {backend!r} takes a checkpoint as it is: load and save it with "torch" first'
        )
    if str(device) != "cpu":
        raise ConfigError(f'device: {device} is for backend "torch"; {backend!r} chooses itself where it computes')
    if len(heads) > 1:
        raise ConfigError(f"backend {backend!r} computes one head, not {', '.join(heads)}: take a class for one")
