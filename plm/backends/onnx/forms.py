"""What a graph takes, and the files that graphs lie in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["padded", "choices", "packed", "growing"]


@dataclass(frozen=True)
class Form:
    """What a graph takes.

    kind: "padded" (batch, length), "choices" (batch, choices, length), "packed" (tokens,) with lengths, or "growing",
        new tokens behind cached keys and values. types: True = token_type_ids as well.
    """

    kind: Kind
    types: bool


# By kind, the shape of input_ids.
DIMS: dict[Kind, tuple[str, ...]] = {
    "padded": ("batch", "length"),
    "choices": ("batch", "choices", "length"),
    "packed": ("tokens",),
    "growing": ("batch", "new"),
}

DATA_FILE = "model.onnx.data"
"""The file that holds the weights of all graphs in a folder."""

PAST, PRESENT = "past_key_values", "present"
"""What stands before `.<layer>.key` and `.<layer>.value` in the names of a growing graph's inputs and outputs."""

CHOOSING = ("multiple_choice", "multiple_choice_with_lm", "double_heads")
"""Kinds of heads that take nothing but choices."""

COMPARING = ("matching", "classification_with_lm")
"""Kinds of heads that take one text or several."""

SPEAKING = ("causal_lm", "double_heads", "masked_lm", "pretraining")
"""Kinds of heads that score words."""


def files(kind: str | None, *, is_causal: bool, has_types: bool) -> dict[Form, str]:
    """The graphs that are written for a model with this kind of head, or none: file names.

    has_types: True = the model has a table of token types, and all its graphs take token_type_ids. Without, each graph
        has a twin that takes them, `*_types.onnx`, for GPT-1 looks them up among the words.
    """
    if kind in CHOOSING:
        named: dict[Kind, str] = {"choices": "model"}
    else:
        named = {"padded": "model", "packed": "model_packed"}
    if kind in COMPARING:
        named["choices"] = "model_choices"
    if kind in SPEAKING and is_causal:
        named["growing"] = "decoder"
    plain = {Form(form, types=has_types): f"{name}.onnx" for form, name in named.items()}
    if has_types:
        return plain
    return plain | {Form(form, types=True): f"{name}_types.onnx" for form, name in named.items()}
