"""From a folder in the Hugging Face layout, as `save_pretrained` and `plm convert` write it, to a model for NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from plm.backends.numpy.names import Names, Origin
from plm.backends.numpy.runner import NumpyRunner
from plm.backends.numpy.settings import ConfigFile, Plan, read_config
from plm.backends.numpy.stored import Stored
from plm.backends.program.backbone import WORDS
from plm.backends.program.heads import needs_pooler, parameter_shapes
from plm.backends.program.spec import HeadFacts, Spec
from plm.errors import CheckpointError, ConfigError, did_you_mean

Array = np.ndarray[Any, np.dtype[Any]]

_DTYPES = {"float32": np.float32, "fp32": np.float32, "auto": np.float32, "float64": np.float64}

_POOLER = "backbone.pooler."


def load_numpy(folder: Path, head: str | None, dtype: str) -> NumpyRunner:
    """A runner for a checkpoint of the Hugging Face layout, in which torch takes no part.

    head: its kind, or its name where config.json lists several; None = the backbone alone.
    dtype: what is computed in, "float32" ("auto" is the same) or "float64"; weights may be stored in any floating type.
    Raises CheckpointError for files that are damaged, incomplete or of another layout, and for a head that is not
    stored; ConfigError for a config.json or dtype that cannot be used.
    """
    if dtype not in _DTYPES:
        hint = did_you_mean(dtype, _DTYPES)
        raise ConfigError(f"dtype: NumPy computes in 'float32' or 'float64', got {dtype!r}{hint}")
    config, stored = read_config(folder), Stored.open(folder)
    return _Filling(config, stored, np.dtype(_DTYPES[dtype])).runner(head)


class _Filling:
    """A config and tensors, from which the parameters of a model are taken."""

    def __init__(self, config: ConfigFile, stored: Stored, dtype: np.dtype[Any]) -> None:
        self.config, self.stored, self.dtype = config, stored, dtype
        self.names: Names = config.family.names
        prefix = self.names.prefix(stored)
        if prefix is None:
            raise CheckpointError(
                f"{stored.source}: has no tensors under names of the Hugging Face layout: "
                f"convert it first (plm convert {config.path.parent} DESTINATION)"
            )
        self.prefix = prefix

    def runner(self, head: str | None) -> NumpyRunner:
        """Arguments as in load_numpy."""
        facts = None if head is None else self._facts(*self._plan(head))
        spec = self._spec(facts)
        shapes = parameter_shapes(spec)
        missing = [name for name in shapes if self._find(name, facts) is None]
        if missing:
            raise self._missing(missing, facts)
        weights = {name: self._take(name, shape, facts) for name, shape in shapes.items()}
        if facts is not None and facts.tied:
            self._require_copy()
        return NumpyRunner(spec, weights, folder=self.config.path.parent)

    def _plan(self, wanted: str) -> tuple[str, Plan]:
        """The name of the head that is wanted, and the plan of that whose parameters it has."""
        plans = {plan.name: plan for plan in self.config.plans}
        if not plans:
            return wanted, Plan(name=wanted, kind=wanted)
        names = [wanted] if wanted in plans else [plan.name for plan in plans.values() if plan.kind == wanted]
        root = plans.get(plans[names[0]].shared_with or names[0]) if len(names) == 1 else None
        if root is None or root.kind is None:
            problem = f"{len(names)} heads of the kind" if names else "no head"
            raise CheckpointError(f"{self.config.path}: lists {problem} {wanted!r} (it has: {', '.join(plans)})")
        return names[0], root

    def _facts(self, name: str, root: Plan) -> HeadFacts:
        settings, prefix = self.config.settings_of(root), f"heads.{root.name}."
        facts = settings.facts(name, str(root.kind), prefix=prefix)
        if settings.classes is not None:
            return facts
        for layer in ("classifier.linear", "classifier", "decision.linear"):
            if rows := self._rows(f"{prefix}{layer}.weight", facts):
                return replace(facts, classes=rows)
        return facts

    def _spec(self, head: HeadFacts | None) -> Spec:
        """What is to be computed. Sizes that the file does not say are those of the tensors."""
        settings, family = self.config.settings, self.config.family
        embeddings, blocks = "backbone.embeddings.", "backbone.blocks."
        self._check_blocks(settings.num_hidden_layers)
        positions, types = settings.max_position_embeddings, settings.type_vocab_size
        pooler = self._find(f"{_POOLER}dense.weight", None) is not None if head is None else needs_pooler(head)
        return Spec(
            vocab_size=max(settings.vocab_size, self._rows(WORDS)),  # some tables are padded
            hidden_size=settings.hidden_size,
            layers=settings.num_hidden_layers,
            attention_heads=settings.num_attention_heads,
            intermediate_size=settings.intermediate_size or self._rows(f"{blocks}0.feed_forward.up.weight"),
            activation=settings.hidden_act,
            norm=settings.norm,
            norm_eps=settings.layer_norm_eps,
            embedding_norm=family.norms_embeddings,
            pattern=settings.attention_pattern,  # type: ignore[arg-type]  # Spec refuses the third one
            positions=0 if family.is_relative else positions or self._rows(f"{embeddings}position.weight"),
            token_types=self._rows(f"{embeddings}token_type.weight") if types is None else types,
            radius=settings.max_relative_position if family.is_relative else 0,
            pooler=pooler,
            pad_token_id=settings.pad_token_id,
            heads=() if head is None else (head,),
        )

    def _check_blocks(self, count: int) -> None:
        """A wrong number must neither ask for a huge model nor leave blocks out."""
        name = "backbone.blocks.{n}.feed_forward_norm.weight"
        last, next_one = (self._find(name.replace("{n}", str(n)), None) for n in (count - 1, count))
        if last is None or next_one is not None or count > len(self.stored):
            more = "fewer" if next_one is None else "more"
            raise CheckpointError(f"{self.stored.source}: has {more} blocks than the {count} of {self.config.path}")

    def _origin(self, ours: str, head: HeadFacts | None) -> Origin | None:
        """Where a parameter comes from; None = the layout has no name for it."""
        if head is None or not ours.startswith(head.prefix):
            return self.names.of_backbone(ours, self.prefix)
        plans = self.config.plans
        if plans and head.prefix != f"heads.{plans[0].name}.":
            return Origin((ours,))  # all heads but the first keep our names
        return self.names.of_head(ours.removeprefix(head.prefix), head, self.prefix)

    def _find(self, ours: str, head: HeadFacts | None) -> tuple[str, Origin] | None:
        """The stored tensor that a parameter is, or is part of; None = there is none."""
        origin = self._origin(ours, head)
        stored = [] if origin is None else [name for name in origin.names if name in self.stored]
        return (stored[0], origin) if stored and origin is not None else None

    def _rows(self, ours: str, head: HeadFacts | None = None) -> int:
        """Outputs of a stored matrix, or rows of a table; 0 = it is not there."""
        found = self._find(ours, head)
        shape = () if found is None else self.stored[found[0]].shape
        return 0 if found is None or len(shape) != 2 else shape[1 if found[1].transposed else 0]

    def _take(self, ours: str, shape: tuple[int, ...], head: HeadFacts | None) -> Array:
        """A parameter. Raises CheckpointError when it has another shape."""
        found = self._find(ours, head)
        assert found is not None, "asked for after looking for what is missing"
        name, origin = found
        array = self.stored.array(name, self.dtype)
        if origin.third is not None and array.ndim and array.shape[-1] % 3 == 0:
            array = np.split(array, 3, axis=-1)[origin.third]
        array = array.T if origin.transposed else array
        if array.shape != shape:
            raise CheckpointError(
                f"{self.stored[name].file}: {name!r} is {self.stored[name].shape}, and {self.config.path} asks for "
                f"{shape} (here {ours})"
            )
        return array

    def _require_copy(self) -> None:
        """An output table that is said to repeat the word embeddings must do so, where both are stored."""
        words, copy = f"{self.prefix}{self.names.modules['embeddings.word']}.weight", self.names.output
        if words in self.stored and copy in self.stored:
            first, second = (self.stored.array(name, self.dtype) for name in (words, copy))
            if not np.array_equal(first, second):
                raise CheckpointError(
                    f"{self.stored.source}: {copy!r} should repeat the word embeddings and does not: "
                    "config.json needs tie_word_embeddings: false"
                )

    def _missing(self, missing: list[str], head: HeadFacts | None) -> CheckpointError:
        """The error for parameters that are not stored."""
        if head is not None and all(name.startswith((head.prefix, _POOLER)) for name in missing):
            first = max(missing, key=lambda name: name.startswith(head.prefix))  # the head's own, if there are any
            return CheckpointError(
                f"{self.stored.source}: has no trained {head.kind}, its answers would be random ("
                f"{self._named(first, head)!r} is not there)"
            )
        hint = did_you_mean(self._named(missing[0], head), self.stored)
        return CheckpointError(
            f"{self.stored.source}: {len(missing)} tensors are missing, first {self._named(missing[0], head)!r}{hint}"
        )

    def _named(self, ours: str, head: HeadFacts | None) -> str:
        """What the layout calls a parameter, for messages."""
        origin = self._origin(ours, head)
        return ours if origin is None else origin.names[0]
