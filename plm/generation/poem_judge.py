"""A second opinion on poems: a model that sees both sides of a character, as people do who read a poem again.

A causal model knows of each character only what came before; whether the first line suits the last it cannot weigh. A
masked one can: each character is masked in its turn, and the mean log-probability of all of them, known the rest, is
the verdict (pseudo-log-likelihood). Source: Wang and Cho 2019, section 3; Salazar et al. 2020, equation 1, here by
the character.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from plm.blocks.labels import IGNORED_LABEL
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.hub import resolve
from plm.checkpoints.loading import load_model
from plm.errors import CheckpointError
from plm.heads.model import Model
from plm.poetry.characters import is_han
from plm.tokenizers import Tokenizer, load_tokenizer


class PoemJudge(Protocol):
    """Thinks well or ill of poems."""

    def __call__(self, texts: Sequence[str], /) -> list[float]:
        """A number for each poem, in nats a character: the higher, the better. texts: with marks, simplified."""
        ...


class MaskedJudge:
    """The PoemJudge of a masked language model of Chinese characters, such as bert-base-chinese.

    rows: texts that it reads at once; a poem takes one for each of its characters.
    Raises CheckpointError for a model of another kind.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, *, rows: int = 64) -> None:
        kind = model.config.attention_pattern
        if "masked_lm" not in model.heads or kind != "full" or tokenizer.mask_token_id is None:
            raise CheckpointError(
                "not a judge of poems: it takes a head masked_lm, attention to both sides and a mask token; this has "
                f"{', '.join(model.heads) or 'no head'}, {kind} attention and {tokenizer.mask_token or 'no mask token'}"
            )
        self.model, self.tokenizer, self.rows = model.eval(), tokenizer, rows

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, dtype: str = "float32", rows: int = 64) -> MaskedJudge:
        """From a folder or a hub name. dtype: "float32", "bfloat16" or "float16"."""
        folder = resolve(name_or_path)
        model, report = load_model(folder, heads=("masked_lm",), dtype=as_dtype(dtype))
        if random := [*report.missing, *report.mismatched]:
            raise CheckpointError(f"{report.source}: not a judge of poems, it lacks {', '.join(random[:3])}")
        return cls(model, load_tokenizer(folder), rows=rows)

    def __call__(self, texts: Sequence[str]) -> list[float]:
        """See PoemJudge; a character that the vocabulary lacks is judged as [UNK], which is unlikely."""
        ids = [self.tokenizer.convert_tokens_to_ids(["[CLS]", *text, "[SEP]"]) for text in texts]
        asked = [(row, place) for row, text in enumerate(texts) for place, one in enumerate(text, 1) if is_han(one)]
        found: list[list[float]] = [[] for _ in texts]
        for start in range(0, len(asked), self.rows):
            part = asked[start : start + self.rows]
            for (row, _), nats in zip(part, self._log_probabilities(ids, part).tolist(), strict=True):
                found[row].append(nats)
        return [sum(one) / len(one) for one in found]

    @torch.inference_mode()
    def _log_probabilities(self, ids: Sequence[Sequence[int]], asked: Sequence[tuple[int, int]]) -> Tensor:
        """(len(asked),): of the token at each asked (text, place), which alone is masked."""
        rows = [torch.tensor(ids[row]) for row, _ in asked]
        lengths = torch.tensor([len(row) for row in rows])
        padded = torch.nn.utils.rnn.pad_sequence(
            rows, batch_first=True, padding_value=float(self.tokenizer.pad_token_id or 0)
        )
        places = torch.tensor([[place] for _, place in asked])
        targets = padded.gather(1, places)
        labels = torch.full_like(padded, IGNORED_LABEL).scatter(1, places, targets)
        masked = padded.scatter(1, places, torch.full_like(targets, self.tokenizer.mask_token_id or 0))
        mask = (torch.arange(padded.shape[1]) < lengths[:, None]).long()
        device = self.model.device
        output = self.model(input_ids=masked.to(device), attention_mask=mask.to(device), labels=labels.to(device))
        log_probabilities: Tensor = output.logits.float().log_softmax(1).cpu()
        return log_probabilities.gather(1, targets).squeeze(1)
