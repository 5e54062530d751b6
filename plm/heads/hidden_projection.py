"""TinyBERT's linear layers from its own hidden size to its teacher's."""

from __future__ import annotations

from torch import Tensor, nn

from plm.blocks.linear import Linear
from plm.errors import ConfigError
from plm.heads.head import HEADS, HeadSpec, Targets, never
from plm.heads.output import LogitsOutput
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig
from plm.models.tinybert import TinyBertConfig


class HiddenProjection(nn.Module):
    """Maps hidden states into the teacher's space, to be compared there.

    shared: one layer for all states (`fit_dense`). per_layer: one for the embeddings and one for each block
    (`fit_denses.N`). One of them may be absent. Source: Jiao et al. 2020, equations 8 and 9, and the upstream code.
    """

    targets: tuple[str, ...] = ()

    def __init__(self, *, hidden_size: int, fit_size: int, shared: bool, per_layer: int) -> None:
        super().__init__()
        self.shared = Linear(hidden_size, fit_size) if shared else None
        self.per_layer = nn.ModuleList(Linear(hidden_size, fit_size) for _ in range(per_layer)) if per_layer else None

    def project(self, hidden: Tensor, state: int) -> Tensor:
        """hidden: (..., hidden), the embeddings' output (state 0) or that of block state - 1. -> (..., fit_size).

        Uses the layer of that state where there is one, the shared one otherwise.
        """
        layer = self.shared if self.per_layer is None else self.per_layer[state]
        assert layer is not None
        projected: Tensor = layer(hidden)
        return projected

    def forward(self, encoding: Encoding, targets: Targets) -> LogitsOutput:
        """The last hidden state, projected, as `logits`: (batch, length, fit_size)."""
        last = 0 if self.per_layer is None else len(self.per_layer) - 1
        return LogitsOutput(logits=encoding.restore(self.project(encoding.hidden, last)))


def build_hidden_projection(config: ModelConfig) -> HiddenProjection:
    """See HiddenProjection. Raises ConfigError for a config without fit layers."""
    if not isinstance(config, TinyBertConfig) or config.fit == "none" or config.fit_size is None:
        raise ConfigError("hidden_projection needs a TinyBERT config with fit and fit_size")
    return HiddenProjection(
        hidden_size=config.hidden_size,
        fit_size=config.fit_size,
        shared=config.fit in ("shared", "both"),
        per_layer=config.num_hidden_layers + 1 if config.fit in ("per_layer", "both") else 0,
    )


HEADS.add(
    "hidden_projection",
    HeadSpec(
        build=build_hidden_projection,
        needs_pooler=never,
        parts=(("", "fit"),),
        architecture="",
    ),
)
