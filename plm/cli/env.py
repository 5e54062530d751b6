"""`plm env`."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata

import click

import plm
from plm.cli.output import json_option, show

PACKAGES = (
    "torch",
    "numpy",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "tqdm",
    "click",
    "torchmetrics",
    "matplotlib",
    "ftfy",
    "transformers",
)

# Settings that change what plm does. HF_TOKEN is not among them: reports are public.
VARIABLES = (
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_ENDPOINT",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "PLM_DEBUG",
)


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Show versions, machine and settings, to be pasted into reports of problems."""
    values = {"plm": plm.__version__, "python": sys.version.split()[0], "platform": platform.platform()}
    values |= {name: _version(name) for name in PACKAGES}
    values |= _machine()
    values |= {name: os.environ[name] for name in VARIABLES if name in os.environ}
    show([f"{name}: {value}" for name, value in values.items()], values, as_json=as_json)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _machine() -> dict[str, str]:
    """What torch computes on."""
    import torch  # only here: the other lines should come even where torch cannot be imported

    devices = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "threads": str(torch.get_num_threads()),
        "CPU capability": torch.backends.cpu.get_cpu_capability(),
        "CUDA": f"{torch.version.cuda or 'not built in'}; devices: {', '.join(devices) or 'none'}",
    }
