"""A model that knows where it came from and can be saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from plm.blocks.linear import Embedding
from plm.checkpoints.report import LoadReport
from plm.checkpoints.saving import DEFAULT_SHARD_SIZE, save_model
from plm.heads.model import Model
from plm.models.backbone import Backbone
from plm.models.config import ModelConfig


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
        loaded: LoadReport | None = None,
    ) -> None:
        super().__init__(config, backbone, heads)
        self.loaded = loaded

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
        """Give the word embeddings (and what is tied to them) that many rows.

        New rows are drawn as at initialisation, language model biases start at 0; rows beyond are cut off.
        """
        old = self.backbone.embeddings.word
        new = Embedding(rows, old.embedding_dim).to(old.weight)
        kept = min(rows, old.num_embeddings)
        with torch.no_grad():
            new.weight.normal_(0.0, self.config.initializer_range)
            new.weight[:kept] = old.weight[:kept]
            for name, parameter in list(self.heads.named_parameters()):
                if name.endswith(("language_model.bias", "language_model.decoder.weight")):
                    owner = self.heads.get_submodule(name.rpartition(".")[0])
                    grown = parameter.new_zeros(rows, *parameter.shape[1:])
                    grown[:kept] = parameter[:kept]
                    setattr(owner, name.rpartition(".")[2], nn.Parameter(grown))
        self.backbone.embeddings.word = new
        self.config = dataclasses.replace(self.config, vocab_size=rows)
