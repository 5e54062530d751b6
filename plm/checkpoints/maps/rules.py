"""Shorthand for the three kinds of tensors that all tables consist of."""

from __future__ import annotations

from collections.abc import Mapping

from plm.checkpoints.name_map import Rule
from plm.checkpoints.transforms import Transform


def linears(
    names: Mapping[str, str],
    *,
    suffixes: tuple[str, str] = (".weight", ".bias"),
    transforms: tuple[Transform, ...] = (),
) -> tuple[Rule, ...]:
    """A weight and a bias for each pair (our module, their module).

    suffixes: what they put behind their module for the two. transforms: of the weight; biases need none.
    """
    weight, bias = suffixes
    return tuple(
        rule
        for ours, theirs in names.items()
        for rule in (
            Rule(_dotted(ours, "weight"), theirs + weight, transforms),
            Rule(_dotted(ours, "bias"), theirs + bias),
        )
    )


def norms(names: Mapping[str, str], *, suffixes: tuple[str, str] = (".weight", ".bias")) -> tuple[Rule, ...]:
    """A scale and a shift for each pair (our module, their module)."""
    return linears(names, suffixes=suffixes)


def embeddings(names: Mapping[str, str], *, weight: str = ".weight") -> tuple[Rule, ...]:
    """A table for each pair (our module, their module)."""
    return tuple(Rule(f"{ours}.weight", theirs + weight) for ours, theirs in names.items())


def tied_decoder(theirs: str) -> Rule:
    """The output table of a language model, which most sources store although it repeats the word embeddings."""
    return Rule("decoder.weight", theirs, tied_to="backbone.embeddings.word.weight")


def _dotted(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name
