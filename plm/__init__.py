"""plm: BERT, NEZHA, GPT-1 and TinyBERT on PyTorch, brick by brick.

The names below are the public ones. Those that need torch are imported when they are first used, so `import plm`
costs next to nothing: it loads no torch, opens no file and changes nothing outside the package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from plm.errors import (
    BackendUnavailable,
    CheckpointError,
    ConfigError,
    DataError,
    GenerationError,
    HubError,
    PlmError,
    ShapeError,
    TokenizerError,
    TrainingError,
    UnknownNameError,
    did_you_mean,
)

if TYPE_CHECKING:
    from plm.auto.models import (
        AutoConfig,
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForDoubleHeads,
        AutoModelForMaskedLM,
        AutoModelForMultipleChoice,
        AutoModelForNextSentencePrediction,
        AutoModelForPreTraining,
        AutoModelForQuestionAnswering,
        AutoModelForSequenceClassification,
        AutoModelForTasks,
        AutoModelForTokenClassification,
    )
    from plm.auto.tokenizer import AutoTokenizer
    from plm.blocks.tap import Tap
    from plm.generation import GenerationConfig, Generator, generate
    from plm.heads.several import HeadPlan
    from plm.models.families import FAMILIES
    from plm.pipelines import pipeline
    from plm.training import Callback, Trainer, TrainingConfig

__version__ = "0.1.0"

__all__ = [
    "FAMILIES",
    "AutoConfig",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForDoubleHeads",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSequenceClassification",
    "AutoModelForTasks",
    "AutoModelForTokenClassification",
    "AutoTokenizer",
    "BackendUnavailable",
    "Callback",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "GenerationConfig",
    "GenerationError",
    "Generator",
    "HeadPlan",
    "HubError",
    "PlmError",
    "ShapeError",
    "Tap",
    "TokenizerError",
    "Trainer",
    "TrainingConfig",
    "TrainingError",
    "UnknownNameError",
    "__version__",
    "generate",
    "pipeline",
]

# Where the lazy ones live. The imports above say the same to type checkers; a test holds the two together.
_HOMES = {
    "FAMILIES": "plm.models.families",
    "Callback": "plm.training",
    "GenerationConfig": "plm.generation",
    "Generator": "plm.generation",
    "HeadPlan": "plm.heads.several",
    "Tap": "plm.blocks.tap",
    "Trainer": "plm.training",
    "TrainingConfig": "plm.training",
    "generate": "plm.generation",
    "pipeline": "plm.pipelines",
    "AutoTokenizer": "plm.auto.tokenizer",
} | {name: "plm.auto.models" for name in __all__ if name.startswith(("AutoModel", "AutoConfig"))}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'plm' has no attribute {name!r}{did_you_mean(name, __all__)}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOMES.keys())
