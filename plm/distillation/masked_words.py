"""What a masked language model would write in place of the words of many texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from plm.checkpoints.report import LoadReport
from plm.data.fingerprint import digest
from plm.data.masking import CONTINUES
from plm.distillation.fill_rows import Apart, Blank, Frame, Passes, Row, Together, find_blanks
from plm.distillation.replaceable import Span, other_words
from plm.errors import ConfigError, did_you_mean
from plm.heads.model import Model
from plm.tokenizers import Tokenizer
from plm.tokenizers.identity import tokenizer_state

# Name of a way to ask -> what makes its rows.
PASSES: Mapping[str, Callable[[Frame, int], Passes]] = {"word": Apart, "text": Together}

# Tokens of a batch that keep matrix kernels busy and activations in the caches of one core.
TOKENS_PER_BATCH = 2048

# Masks of a batch: their logits over 30,522 words are 60 MiB.
_MASKS_PER_BATCH = 512
_SHORTEST = 16


class MaskedWords:
    """A masked language model that fills in words. It is only asked: its weights and its mode stay as they are.

    is_candidate: which whole tokens may stand in place of a word, or of one of its tokens; special tokens and pieces
        that go on with a word never may.
    passes: a name in PASSES. max_length: tokens of a row; of longer texts the model sees a window around the word.
    Raises ConfigError for a model that cannot fill in words or learned nothing of it, TokenizerError for a vocabulary
    without mask token.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        *,
        is_candidate: Callable[[str], bool],
        passes: str = "word",
        max_length: int = 512,
        tokens_per_batch: int = TOKENS_PER_BATCH,
    ) -> None:
        self._model, self._tokenizer, self._tokens_per_batch = model, tokenizer, tokens_per_batch
        self._head = _masked_lm_of(model)
        self._passes = _passes(
            passes, model, Frame.of(tokenizer, has_types=model.config.type_vocab_size > 1), max_length
        )
        tokens = tokenizer.convert_ids_to_tokens(list(range(max(len(tokenizer), model.config.vocab_size))))
        self._tokens: list[str] = [token or "" for token in tokens]  # the model may have rows beyond the vocabulary
        special = set(tokenizer.all_special_tokens)
        self._is_whole = np.array(
            [bool(token) and token not in special and not token.startswith(CONTINUES) for token in self._tokens]
        )
        is_usable = [whole and is_candidate(token) for token, whole in zip(self._tokens, self._is_whole, strict=True)]
        self._is_usable = torch.tensor(is_usable[: model.config.vocab_size])

    def fill(
        self, texts: Sequence[str], words: Sequence[Sequence[Span]], *, count: int
    ) -> list[list[list[str] | None]]:
        """For each word of each text what else could stand there: at most `count`, best first, never the word itself.

        words: where the words of each text are. One of several whole tokens, as Chinese ones are, is masked whole, and
        what fills it has as many. None for a word that the vocabulary holds in pieces or not at all.
        """
        encoded = self._tokenizer(list(texts), add_special_tokens=False, truncation=False)
        ids: list[list[int]] = encoded["input_ids"]
        blanks = [
            blank
            for text, spans in enumerate(words)
            for blank in find_blanks(text, encoded.offsets(text), self._is_whole[ids[text]], spans)
        ]
        filled: list[list[list[str] | None]] = [[None] * len(spans) for spans in words]
        for batch in self._batches(list(self._passes.rows(blanks, ids))):
            for blank, options in self._ask(batch, count):
                start, end = words[blank.text][blank.word]
                filled[blank.text][blank.word] = other_words(options, texts[blank.text][start:end])[:count]
        return filled

    def fingerprint(self) -> str:
        """Tells this model, its vocabulary and how it is asked from others."""
        facts = [type(self._passes).__name__, self._passes.max_length, self._tokens_per_batch]
        told = json.dumps(tokenizer_state(self._tokenizer), sort_keys=True)
        return digest([facts, told, dict(self._model.state_dict())])

    def _batches(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Rows of similar lengths, the longest first, so that too little memory shows at once."""
        batch: list[Row] = []
        masks = 0
        for row in sorted(rows, key=self._passes.length, reverse=True):
            masks += row.masks
            tokens = self._passes.length(batch[0] if batch else row) * (len(batch) + 1)
            if batch and (tokens > self._tokens_per_batch or masks > _MASKS_PER_BATCH):
                yield batch
                batch, masks = [], row.masks
            batch.append(row)
        if batch:
            yield batch

    def _ask(self, rows: Sequence[Row], count: int) -> Iterator[tuple[Blank, list[str]]]:
        """Each word of a batch with what could stand there, best first; a few more, the word itself among them."""
        wanted = 2 * count + 2  # a vocabulary with case has many a word twice
        was_training = self._model.training
        self._model.eval()
        try:
            with torch.inference_mode():
                logits = self._model(**self._passes.inputs(rows, self._model.device), head=self._head).logits
                usable = self._is_usable.to(logits.device)
                best = logits.float().masked_fill_(~usable, -torch.inf).topk(min(wanted, int(usable.sum())))
        finally:
            self._model.train(was_training)
        scores, found = best.values.tolist(), best.indices.tolist()
        masks = 0
        for blank in (blank for row in rows for blank in row.blanks):
            columns = [
                [(score, self._tokens[id_]) for score, id_ in zip(scores[mask], found[mask], strict=True)]
                for mask in range(masks, masks + blank.size)
            ]
            masks += blank.size
            yield blank, _joined(columns, wanted)


def _passes(name: str, model: Model, frame: Frame, max_length: int) -> Passes:
    if name not in PASSES:
        raise ConfigError(f"passes: {name!r} is not one of {', '.join(PASSES)}{did_you_mean(name, PASSES)}")
    table = model.backbone.embeddings.position
    if name == "text" and table is None:
        raise ConfigError(
            f'passes "text" puts masks at positions of their own, and {model.config.model_type} knows only distances; '
            'take passes "word"'
        )
    longest = max_length if table is None else min(max_length, table.num_embeddings)
    if longest < _SHORTEST:
        raise ConfigError(f"max_length: expected {_SHORTEST} tokens or more for a text given twice, got {longest}")
    return PASSES[name](frame, longest)


def _masked_lm_of(model: Model) -> str:
    """The name of the head that fills in words, which must come from the checkpoint if anything does."""
    name = next((name for name, plan in model.plans.items() if plan.kind == "masked_lm"), None)
    if name is None:
        raise ConfigError(
            f"expected a model with a masked_lm head, got {', '.join(model.plans) or 'none'}; open it with "
            "AutoModelForMaskedLM"
        )
    report = getattr(model, "loaded", None)
    lost = (*report.missing, *report.mismatched) if isinstance(report, LoadReport) else ()
    if any(tensor.startswith(f"heads.{name}.") for tensor in lost):
        raise ConfigError(
            "the masked language model is not in the checkpoint and was initialised: what it fills in would be noise. "
            "Take a model that keeps it, such as bert-base-uncased, or word vectors alone"
        )
    return name


def _joined(columns: Sequence[Sequence[tuple[float, str]]], count: int) -> list[str]:
    """The best ways to take one token of each column, best first.

    columns: of (score, token), best first. Scores add up, so what is not among the best of some columns is not among
    those of more.
    """
    best = [(0.0, "")]
    for column in columns:
        longer = [(score + more, text + token) for score, text in best for more, token in column]
        best = sorted(longer, key=lambda option: -option[0])[:count]
    return [text for _, text in best]
