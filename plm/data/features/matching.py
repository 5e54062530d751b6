"""Candidates to token ids: those that are to be compared side by side in one feature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from plm.data.candidates import Candidate, group_candidates
from plm.data.features.classification import require_room
from plm.data.features.rows import RowsFeature
from plm.errors import ConfigError
from plm.tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class ComparedFeature(RowsFeature):
    """Candidates of one query. members: their places among the candidates; label: one label for each, or None."""

    members: tuple[int, ...]


def encode_candidates(
    candidates: Sequence[Candidate],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    side_by_side: int,
    has_labels: bool = True,
    chunk_size: int = 1000,
) -> list[ComparedFeature]:
    """The candidates of every group, `side_by_side` of them at most in a feature; 1 = each alone.

    A pair is read as `[CLS] query [SEP] text [SEP]`; of what is too long, the longer text is cut first.
    max_length: tokens of a pair. has_labels: False = leave labels out. chunk_size: pairs that the tokenizer gets at a
    time. In a group with labels that takes several features, candidates are dealt out so that each has better and worse
    ones; where there are too few of a kind, some of them come in several features.
    """
    if side_by_side < 1:
        raise ConfigError(f"side_by_side: expected a positive integer, got {side_by_side}")
    require_room(tokenizer, max_length, pairs=True)
    ids: list[list[int]] = []
    types: list[list[int]] = []
    with tqdm(total=len(candidates), desc="encoding", unit="pair", disable=None, delay=2, leave=False) as bar:
        for start in range(0, len(candidates), chunk_size):
            chunk = candidates[start : start + chunk_size]
            rows, kinds = tokenizer.encode_batch_ids(
                [candidate.query for candidate in chunk],
                [candidate.text for candidate in chunk],
                max_length=max_length,
            )
            ids += rows
            types += kinds or []
            bar.update(len(chunk))
    labels = [candidate.label for candidate in candidates] if has_labels else [None] * len(candidates)
    features: list[ComparedFeature] = []
    for group in group_candidates(candidates).values():
        for members in _dealt(group, labels, side_by_side):
            known = tuple(label for member in members if (label := labels[member]) is not None)
            features.append(
                ComparedFeature(
                    input_ids=[ids[member] for member in members],
                    token_type_ids=[types[member] for member in members] if types else None,
                    label=known if len(known) == len(members) else None,
                    index=len(features),
                    members=tuple(members),
                )
            )
    return features


def _dealt(group: Sequence[int], labels: Sequence[int | None], size: int) -> Iterator[list[int]]:
    """A group in parts of `size` at most, each with different labels where the group has any."""
    if len(group) <= size or size == 1:
        yield from ([group[start]] for start in range(len(group))) if size == 1 else [list(group)]
        return
    best = max((label for member in group if (label := labels[member]) is not None), default=0)
    fit = [member for member in group if labels[member] == best and best > 0]
    chosen = set(fit)
    rest = [member for member in group if member not in chosen]
    if not fit or not rest:
        yield from (list(group[start : start + size]) for start in range(0, len(group), size))
        return
    beside = max(1, min(size - 1, round(size * len(fit) / len(group))))
    parts = max(-(-len(fit) // beside), -(-len(rest) // (size - beside)))
    for part in range(parts):
        yield [*_share(fit, part, parts), *_share(rest, part, parts)]


def _share(members: Sequence[int], part: int, parts: int) -> list[int]:
    """Every member in one of the parts at least, and one in every part at least."""
    return list(members[part::parts]) or [members[part % len(members)]]
