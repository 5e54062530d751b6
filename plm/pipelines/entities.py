"""Texts to the entities in them, with their places; or lists of words to their tags."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from plm.data.conll import TaggedText
from plm.data.raw_words import split_words
from plm.data.tag_schemes import OUTSIDE, guess_scheme, has_prefix
from plm.errors import DataError
from plm.models.config import ModelConfig
from plm.pipelines.asking import Form
from plm.pipelines.source import TASKS
from plm.tasks.tag_decoding import Tagged
from plm.tasks.tagging import FileScheme, Tagging


def guess_tagging(config: ModelConfig, heads: Collection[str]) -> Tagging:
    """How a tagger of which only the names of its classes are known is probably meant.

    Classes without prefix among others that have one ("X", "[CLS]") are taken for O. Any sequence of tags is accepted,
    for nothing says that the model learned from well-formed ones.
    """
    labels, scheme = config.labels, _scheme(config.labels)
    if scheme not in ("plain", "none"):
        labels = tuple(label if has_prefix(label) else OUTSIDE for label in labels)
    return Tagging(
        labels=tuple(labels),
        scheme=scheme,
        decoder="crf" if "crf_token_classification" in heads else "softmax",
        constrained=False,
        joiner=" ",
    )


def _scheme(labels: Sequence[str]) -> FileScheme:
    """The scheme that a model's classes are written in: one with prefixes if any says so with a hyphen, or all do."""
    others = [label for label in labels if label != OUTSIDE]
    prefixed = [label for label in others if has_prefix(label)]
    if not (any("-" in label for label in prefixed) or (prefixed and prefixed == others)):
        return "plain" if OUTSIDE in labels else "none"
    return guess_scheme([label] for label in prefixed) or "bioes"  # a mixture; all prefixes are read alike


def _is_one(value: Any) -> bool:
    return isinstance(value, str)


def _read(question: Any, place: int, task: Tagging) -> TaggedText | None:
    if isinstance(question, str):
        return split_words(question, joiner=" " if task.joiner is None else task.joiner, name=str(place))
    if not isinstance(question, (list, tuple)) or not all(isinstance(word, str) and word for word in question):
        raise DataError(f"text {place}: expected a string, or a list of words that are not empty, got {question!r:.80}")
    if not question:
        return None
    starts, start = [], 0
    for word in question:
        starts.append(start)
        start += len(word) + 1
    return TaggedText(str(place), tuple(question), None, 1, " ".join(question), tuple(starts))


def _tell(question: Any, example: TaggedText | None, answer: Tagged | None, task: Tagging) -> Any:
    if not isinstance(question, str):
        return _of_words(answer)
    if example is None or answer is None:
        return []
    if task.scheme == "none":  # every word says something
        rows = zip(answer.tags, example.words, example.starts, answer.probabilities, strict=True)
        return [
            {"type": tag, "text": word, "start": start, "end": start + len(word), "score": score}
            for tag, word, start, score in rows
        ]
    names = ("type", "text", "start", "end", "score")
    return [{name: getattr(entity, name) for name in names} for entity in answer.entities]


def _of_words(answer: Tagged | None) -> dict[str, Any]:
    """The answer to a list of words, in which places are numbers of words."""
    if answer is None:
        return {"tags": [], "scores": [], "entities": []}
    names = ("type", "text", "first", "last", "score")
    entities = [{name: getattr(entity, name) for name in names} for entity in answer.entities]
    return {"tags": list(answer.tags), "scores": list(answer.probabilities), "entities": entities}


TOKEN_CLASSIFICATION = Form(kind=Tagging, usual_length=512, guess=guess_tagging, is_one=_is_one, read=_read, tell=_tell)

for _name in ("token-classification", "ner"):
    TASKS.add(_name, TOKEN_CLASSIFICATION)
