"""Arguments that people bring along from transformers' `from_pretrained`, with what takes their place here."""

from __future__ import annotations

from collections.abc import Collection

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
