"""What checkpoints in the Hugging Face layout call our parameters.

This table is not made from those of plm.checkpoints.maps: it stands beside them as a witness, and costs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Literal

from plm.backends.program.backbone import WORDS
from plm.backends.program.spec import HeadFacts

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True)
class Origin:
    """Where a parameter comes from.

    names: of the stored tensor; the first that is there counts.
    transposed: True = stored as (inputs, outputs).
    third: which third of the columns it is, of queries, keys and values in one tensor; None = all of it.
    """

    names: tuple[str, ...]
    transposed: bool = False
    third: Literal[0, 1, 2] | None = None


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names of one family.

    prefixes: what may stand before those of the backbone.
    modules: our module -> theirs, `{n}` for the number of a block; heads' relative to the head.
    by_kind: for modules of which kinds of heads have their own names.
    tables: our parameters whose name is more than a module and `weight` or `bias`; several are tried in their order.
    output: the table that tied language models repeat.
    joined: modules whose matrices are stored (inputs, outputs), and of which third of what.
    """

    prefixes: tuple[str, ...]
    modules: Mapping[str, str]
    by_kind: Mapping[str, Mapping[str, str]]
    tables: Mapping[str, tuple[str, ...]]
    output: str
    joined: Mapping[str, Literal[0, 1, 2] | None] = field(default_factory=dict)

    def prefix(self, stored: Container[str]) -> str | None:
        """What stands before backbone names in a checkpoint; None = it is none of this layout."""
        first = self.modules["blocks.{n}.feed_forward_norm"].replace("{n}", "0")
        for prefix in self.prefixes:
            if any(f"{prefix}{first}.{last}" in stored for last in ("weight", "gamma")):
                return prefix
        return None

    def of_backbone(self, ours: str, prefix: str) -> Origin | None:
        """Where a parameter of the backbone comes from; None = the layout has no name for it."""
        if ours == WORDS:
            return Origin((f"{prefix}{self.modules['embeddings.word']}.weight", self.output))
        return self._find(ours.removeprefix("backbone."), self.modules, prefix)

    def of_head(self, ours: str, head: HeadFacts, prefix: str) -> Origin | None:
        """Where a parameter of a head comes from. ours: relative to the head. prefix: that of the backbone."""
        if ours == "language_model.decoder.weight":  # one that is not stored starts as a copy of the words
            return Origin((self.output, f"{prefix}{self.modules['embeddings.word']}.weight"))
        if ours in self.tables:  # beside an output table of its own, the bias of that is the one that counts
            return Origin(self.tables[ours] if head.tied else self.tables[ours][::-1])
        return self._find(ours, {**self.modules, **self.by_kind.get(head.kind, {})}, "")

    def _find(self, ours: str, modules: Mapping[str, str], prefix: str) -> Origin | None:
        module, _, last = ours.rpartition(".")
        number = _NUMBER.search(f"{module}.")
        template = module if number is None else f"{module[: number.start()]}{{n}}{module[number.end() :]}"
        if template not in modules:
            return None
        theirs = prefix + modules[template].replace("{n}", number[0] if number else "")
        # pytorch-pretrained-bert up to 0.3 called the parameters of norms gamma and beta
        old = {"weight": "gamma", "bias": "beta"}[last]
        names = (f"{theirs}.{last}", f"{theirs}.{old}") if template.endswith("norm") else (f"{theirs}.{last}",)
        return Origin(names, template in self.joined and last == "weight", self.joined.get(template))


_CRF = {f"crf.{name}": (f"crf.{name}",) for name in ("start_transitions", "transitions", "end_transitions")}

ENCODER = Names(
    prefixes=("bert.", "nezha.", "tinybert.", ""),
    modules={
        "embeddings.word": "embeddings.word_embeddings",
        "embeddings.position": "embeddings.position_embeddings",
        "embeddings.token_type": "embeddings.token_type_embeddings",
        "embeddings.norm": "embeddings.LayerNorm",
        "blocks.{n}.attention.query": "encoder.layer.{n}.attention.self.query",
        "blocks.{n}.attention.key": "encoder.layer.{n}.attention.self.key",
        "blocks.{n}.attention.value": "encoder.layer.{n}.attention.self.value",
        "blocks.{n}.attention.output": "encoder.layer.{n}.attention.output.dense",
        "blocks.{n}.attention_norm": "encoder.layer.{n}.attention.output.LayerNorm",
        "blocks.{n}.feed_forward.up": "encoder.layer.{n}.intermediate.dense",
        "blocks.{n}.feed_forward.down": "encoder.layer.{n}.output.dense",
        "blocks.{n}.feed_forward_norm": "encoder.layer.{n}.output.LayerNorm",
        "final_norm": "encoder.final_norm",
        "pooler.dense": "pooler.dense",
        "language_model.dense": "cls.predictions.transform.dense",
        "language_model.norm": "cls.predictions.transform.LayerNorm",
        "next_sentence.classifier": "cls.seq_relationship",
        "classifier.linear": "classifier",
        "classifier": "classifier",
        "outputs": "qa_outputs",
        "shared": "fit_dense",
        "per_layer.{n}": "fit_denses.{n}",
    },
    by_kind={"next_sentence": {"classifier": "cls.seq_relationship"}},
    tables={"language_model.bias": ("cls.predictions.bias", "cls.predictions.decoder.bias"), **_CRF},
    output="cls.predictions.decoder.weight",
)

DECODER = Names(
    prefixes=("transformer.", ""),
    modules={
        "embeddings.word": "tokens_embed",
        "embeddings.position": "positions_embed",
        "blocks.{n}.attention.query": "h.{n}.attn.c_attn",
        "blocks.{n}.attention.key": "h.{n}.attn.c_attn",
        "blocks.{n}.attention.value": "h.{n}.attn.c_attn",
        "blocks.{n}.attention.output": "h.{n}.attn.c_proj",
        "blocks.{n}.attention_norm": "h.{n}.ln_1",
        "blocks.{n}.feed_forward.up": "h.{n}.mlp.c_fc",
        "blocks.{n}.feed_forward.down": "h.{n}.mlp.c_proj",
        "blocks.{n}.feed_forward_norm": "h.{n}.ln_2",
        "final_norm": "ln_f",
        "classifier.linear": "score",
        "classifier": "score",
        "decision.linear": "score",
        "choice": "multiple_choice_head.summary",
        "outputs": "qa_outputs",
    },
    by_kind={"multiple_choice_with_lm": {"decision.linear": "multiple_choice_head.summary"}},
    tables=_CRF,
    output="lm_head.weight",
    joined={  # OpenAI's Conv1D
        "blocks.{n}.attention.query": 0,
        "blocks.{n}.attention.key": 1,
        "blocks.{n}.attention.value": 2,
        "blocks.{n}.attention.output": None,
        "blocks.{n}.feed_forward.up": None,
        "blocks.{n}.feed_forward.down": None,
    },
)
