"""Smaller models out of large ones, without training: fewer layers, fewer words, fewer bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plm.checkpoints.companions import carry_learned, carry_tokenizer, write_tokenizer
from plm.checkpoints.conversion import require_whole
from plm.checkpoints.destination import filling
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.hub import resolve
from plm.checkpoints.inspection import readable_size
from plm.checkpoints.loading import load_model
from plm.checkpoints.saving import save_model
from plm.data.tables import read_lines
from plm.errors import CheckpointError, ConfigError, TokenizerError, did_you_mean
from plm.heads.model import Model, build_model
from plm.tokenizers import Tokenizer, count_tokens, load_tokenizer, prune_tokenizer

# Our tensors with one row for each token.
BY_TOKEN = ("embeddings.word.weight", "language_model.bias", "language_model.decoder.weight")

_BLOCKS, _FIT = "backbone.blocks.", "heads.hidden_projection.per_layer."


@dataclass(frozen=True, kw_only=True)
class ShrinkReport:
    """What became smaller; pairs are (before, after).

    layers: of the model; tokens: rows of the word embeddings; size: bytes of all parameters.
    kept_layers: indices in the source. files: names written into `destination`. notes: what else there is to know.
    """

    source: Path
    destination: Path
    layers: tuple[int, int]
    kept_layers: tuple[int, ...]
    tokens: tuple[int, int]
    parameters: tuple[int, int]
    size: tuple[int, int]
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The account, one fact a line."""
        return [
            f"{self.source} -> {self.destination}: {', '.join(self.files)}",
            f"layers: {self.layers[0]} -> {self.layers[1]} ({', '.join(map(str, self.kept_layers))})",
            f"tokens: {self.tokens[0]:,} -> {self.tokens[1]:,}",
            f"parameters: {self.parameters[0]:,} -> {self.parameters[1]:,}",
            f"size: {readable_size(self.size[0])} -> {readable_size(self.size[1])}",
            *(f"note: {note}" for note in self.notes),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self) | {"source": str(self.source), "destination": str(self.destination)}


def shrink(
    name_or_path: str | Path,
    destination: str | Path,
    *,
    keep_layers: Sequence[int] | int | None = None,
    keep_tokens: Path | Iterable[str] | int | None = None,
    texts: Path | Iterable[str] | None = None,
    keep_characters: bool = True,
    dtype: str | torch.dtype = "auto",
    layout: str = "huggingface",
    overwrite: bool = False,
) -> ShrinkReport:
    """Write a smaller version of a checkpoint, with its heads and its tokenizer, into the folder `destination`.

    keep_layers: indices from 0 upwards, or how many to keep from the bottom, which Sajjad et al. 2020
        (https://arxiv.org/abs/2004.03844) found to lose least; None = all.
    keep_tokens: the tokens to keep, or a file with one token a line; or how many of the most frequent ones of `texts`.
    texts: what the model will read, or a file with one text a line; without a number, all their tokens are kept.
    keep_characters: True keeps all tokens of one character too, so that few words become unknown.
    dtype: of all parameters: "float32", "bfloat16", "float16", or "auto" for the type stored.
    layout: a name in TARGETS.
    overwrite: True = `destination` may hold other files.

    Special tokens are always kept. With all layers kept, texts of kept tokens get the logits that they had.
    Raises ConfigError for layers that are not there and when nothing is to be done, TokenizerError for tokens that are
    not there, CheckpointError as plm.checkpoints.conversion.convert and for numbers too large for `dtype`.
    """
    if keep_layers is None and keep_tokens is None and texts is None and as_dtype(dtype) is None:
        raise ConfigError("nothing to shrink: give keep_layers, keep_tokens, texts or dtype")
    source, destination = resolve(name_or_path), Path(destination)
    with filling(destination, source=source, layout=layout, overwrite=overwrite) as folder:
        model, loaded = load_model(source, dtype=None)
        require_whole(loaded)
        layers = chosen_layers(keep_layers, model.config.num_hidden_layers)
        tokenizer, rows = None, None
        if keep_tokens is not None or texts is not None:
            rows_before = model.config.vocab_size
            tokenizer, rows = _pruned(source, keep_tokens, texts, keep_characters=keep_characters, rows=rows_before)
        smaller = smaller_model(model, layers=layers, rows=rows, dtype=as_dtype(dtype))
        save_model(smaller, folder, layout=layout)
        remark = None
        if tokenizer is None:
            _, remark = carry_tokenizer(source, folder, layout=layout)
        else:
            write_tokenizer(tokenizer, folder, layout=layout)
        carry_learned(source, folder)
        files = tuple(sorted(file.name for file in folder.iterdir()))
    return ShrinkReport(
        source=source,
        destination=destination,
        layers=(model.config.num_hidden_layers, len(layers)),
        kept_layers=layers,
        tokens=(model.config.vocab_size, smaller.config.vocab_size),
        parameters=(model.num_parameters(), smaller.num_parameters()),
        size=(_bytes(model), _bytes(smaller)),
        files=files,
        notes=(remark,) if remark else (),
    )


def smaller_model(
    model: Model, *, layers: Sequence[int], rows: Sequence[int] | None, dtype: torch.dtype | None = None
) -> Model:
    """A model of some layers and words of another one, in evaluation mode.

    layers: indices of the blocks to keep, rising. rows: for each new id, the old one; None = all as they are.
    dtype: None = as they are. Raises CheckpointError naming a tensor whose numbers are too large for `dtype`.
    """
    config = dataclasses.replace(model.config, num_hidden_layers=len(layers))
    if rows is not None:
        pad = model.config.pad_token_id
        config = dataclasses.replace(
            config, vocab_size=len(rows), pad_token_id=rows.index(pad) if pad is not None and pad in rows else None
        )
    smaller = build_model(config, model.plans, pooler=model.backbone.pooler is not None)
    before, state = model.state_dict(), dict[str, Tensor]()
    for name, new_name in _renumbered(before, layers):
        tensor = before[name]
        if rows is not None and name.endswith(BY_TOKEN):
            tensor = tensor[torch.tensor(rows)]
        state[new_name] = _converted(name, tensor, dtype)
    smaller.load_state_dict(state, assign=True)
    return smaller.eval()


def chosen_layers(keep: Sequence[int] | int | None, count: int) -> tuple[int, ...]:
    """The indices of the layers to keep of `count`. Raises ConfigError when they are not rising or not there."""
    if keep is None:
        return tuple(range(count))
    chosen = tuple(range(keep)) if isinstance(keep, int) else tuple(keep)
    if not chosen or list(chosen) != sorted(set(chosen)) or chosen[0] < 0 or chosen[-1] >= count:
        raise ConfigError(f"keep_layers: expected rising numbers from 0 to {count - 1}, got {keep!r}")
    return chosen


def _pruned(
    source: Path,
    keep: Path | Iterable[str] | int | None,
    texts: Path | Iterable[str] | None,
    *,
    keep_characters: bool,
    rows: int,
) -> tuple[Tokenizer, list[int]]:
    """The smaller tokenizer and the old id of each new one."""
    tokenizer = load_tokenizer(source if source.is_dir() else source.parent)
    if len(tokenizer) > rows:
        raise CheckpointError(
            f"{source}: the tokenizer has {len(tokenizer)} tokens, the model {rows} rows; they do not belong together"
        )
    if isinstance(keep, int) and texts is None:
        raise ConfigError("keep_tokens: the most frequent tokens can only be told from texts")
    wanted: list[str] = []
    if isinstance(keep, Path):
        wanted += _tokens_of(keep, tokenizer)
    elif keep is not None and not isinstance(keep, int):
        wanted += keep
    if texts is not None:
        coming = (line for _, line in read_lines(texts)) if isinstance(texts, Path) else texts
        most = keep if isinstance(keep, int) else None
        wanted += [token for token, _ in count_tokens(tokenizer, coming).most_common(most)]
    return prune_tokenizer(tokenizer, wanted, keep_characters=keep_characters)


def _tokens_of(path: Path, tokenizer: Tokenizer) -> Iterator[str]:
    """The tokens of a file, one a line. Raises TokenizerError with the line of one that the vocabulary lacks."""
    vocabulary = tokenizer.get_vocab()
    for number, line in read_lines(path):
        token = line.strip()
        if token and token not in vocabulary:
            raise TokenizerError(f"{path}, line {number}: no such token {token!r}{did_you_mean(token, vocabulary)}")
        if token:
            yield token


def _renumbered(names: Iterable[str], layers: Sequence[int]) -> Iterator[tuple[str, str]]:
    """(name before, name after) of the tensors that stay."""
    numbers = {
        _BLOCKS: {old: new for new, old in enumerate(layers)},
        # TinyBERT's fit layers: one for the embeddings, then one for each block.
        _FIT: {0: 0, **{old + 1: new + 1 for new, old in enumerate(layers)}},
    }
    for name in names:
        start = next((start for start in numbers if name.startswith(start)), None)
        if start is None:
            yield name, name
            continue
        number, _, rest = name.removeprefix(start).partition(".")
        if int(number) in numbers[start]:
            yield name, f"{start}{numbers[start][int(number)]}.{rest}"


def _converted(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is None or tensor.dtype == dtype:
        return tensor.detach()
    converted = tensor.detach().to(dtype)
    if not torch.isfinite(converted).all():
        largest = float(tensor.abs().max())
        raise CheckpointError(f"{name} holds {largest:.3g}, too large for {dtype}; take bfloat16".replace("torch.", ""))
    return converted


def _bytes(model: Model) -> int:
    return sum(parameter.numel() * parameter.dtype.itemsize for parameter in model.parameters())
