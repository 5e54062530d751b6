"""A model that knows where it came from and can be saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from plm.checkpoints.report import LoadReport
from plm.checkpoints.saving import DEFAULT_SHARD_SIZE, save_model
from plm.errors import ConfigError
from plm.heads.model import Model
from plm.heads.several import Plans
from plm.models.backbone import Backbone
from plm.models.config import ModelConfig

# Parameters with one row for each word.
BY_WORD = ("backbone.embeddings.word.weight", "language_model.bias", "language_model.decoder.weight")


class PretrainedModel(Model):
    """What the Auto classes return: a Model with `loaded` and `save_pretrained`.

    loaded: the account of the load; None for a model made from a config.
    """

    def __init__(
        self,
        config: ModelConfig,
        backbone: Backbone,
        heads: Mapping[str, nn.Module],
        *,
        plans: Plans | None = None,
        loaded: LoadReport | None = None,
    ) -> None:
        super().__init__(config, backbone, heads, plans=plans)
        self.loaded = loaded

    @classmethod
    def of(cls, model: Model, *, loaded: LoadReport | None = None) -> PretrainedModel:
        """A model with the same parts and in the same mode."""
        heads = dict(model.heads.items())
        return cls(model.config, model.backbone, heads, plans=model.plans, loaded=loaded).train(model.training)

    def with_head(self, head: str) -> PretrainedModel:
        """See Model.with_head; saved, it is a folder for one task, as other libraries know them."""
        return PretrainedModel.of(super().with_head(head), loaded=self.loaded)

    def save_pretrained(
        self, folder: str | Path, *, layout: str = "huggingface", max_shard_size: int = DEFAULT_SHARD_SIZE
    ) -> list[Path]:
        """Write config and weights; a crash in the middle leaves what was there.

        layout: "huggingface" (opens in transformers where it has the family), "google-tf1", "huawei" or "openai".
        max_shard_size: bytes a file; a larger model becomes several files and an index.
        Returns the files written. The tokenizer is saved by its own `save_pretrained`.
        """
        return save_model(self, Path(folder), layout=layout, max_shard_size=max_shard_size)

    def resize_token_embeddings(self, rows: int) -> None:
        """Give the word embeddings, and whatever has a row for each word, that many rows.

        New rows are drawn as at initialisation (biases: 0); rows beyond are cut off. Raises ConfigError for less than
        one row.
        """
        kept = min(rows, self.config.vocab_size)
        self.choose_token_embeddings([*range(kept), *[None] * (rows - kept)])

    def choose_token_embeddings(self, rows: Sequence[int | None]) -> None:
        """The same for another vocabulary. rows: for each new token, its old row; None = it is new."""
        config = dataclasses.replace(self.config, vocab_size=len(rows))
        by_word = [name for name, _ in self.named_parameters() if name.endswith(BY_WORD)]
        for name in by_word:
            module, _, kind = name.rpartition(".")
            owner = self.get_submodule(module)
            setattr(owner, kind, _resized(getattr(owner, kind), rows, std=config.initializer_range))
            if isinstance(owner, nn.Linear):
                owner.out_features = len(rows)
        self.backbone.embeddings.word.num_embeddings = len(rows)
        self.config = config

    def resize_token_types(self, types: int) -> None:
        """Give the table of token types that many rows; old ones stay, new ones are drawn as at initialisation.

        Raises ConfigError for a model without such a table, and for less than one row.
        """
        config = dataclasses.replace(self.config, type_vocab_size=types)
        table = self.backbone.embeddings.token_type
        if table is None or types < 1:
            raise ConfigError(f"{types} token types: {self.config.model_type} has {self.config.type_vocab_size}")
        assert isinstance(table.weight, nn.Parameter)
        kept = min(types, self.config.type_vocab_size)
        rows = [*range(kept), *[None] * (types - kept)]
        table.weight = _resized(table.weight, rows, std=config.initializer_range)
        table.num_embeddings = types
        self.config = config


def _resized(old: nn.Parameter, rows: Sequence[int | None], *, std: float) -> nn.Parameter:
    """A parameter with these rows of an old one, and new ones where that is None."""
    values = old.detach().new_zeros(len(rows), *old.shape[1:])
    if old.dim() > 1:
        values.normal_(0.0, std)
    kept = [(new, row) for new, row in enumerate(rows) if row is not None]
    places, sources = (torch.tensor(side, device=old.device) for side in zip(*kept, strict=True))
    values[places] = old.detach()[sources]
    return nn.Parameter(values, requires_grad=old.requires_grad)
