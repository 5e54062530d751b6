"""A teacher answers alike each time, reads the same words and has the same classes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from plm.distillation import Teacher, check_deterministic, check_labels, check_vocabulary
from plm.distillation.view import Question, View
from plm.errors import ConfigError
from plm.heads.model import Model
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.distillation.pairs import batch_of, teacher_of

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film"]


def tokenizer(folder: Path, words: list[str]) -> Tokenizer:
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return load_tokenizer(folder)


def test_dropout_never_acts_and_nothing_learns() -> None:
    teacher = Teacher(teacher_of("bert", "sequence_classification"))
    view = View.padded(batch_of(), pattern="full")
    question = Question(names=("blocks.3.output",), predicts=True)
    first = teacher(view, question)
    teacher.model.train()
    again = teacher(view, question)
    assert torch.equal(first.values["blocks.3.output"], again.values["blocks.3.output"])
    assert first.output is not None
    assert not first.output["logits"].requires_grad
    assert not first.values["blocks.3.output"].requires_grad


def test_what_is_random_is_refused() -> None:
    class Noisy(Model):
        def tap_names(self) -> tuple[str, ...]:
            for parameter in self.backbone.embeddings.parameters():
                parameter.data.add_(torch.randn(parameter.shape))
            return super().tap_names()

    model = teacher_of()
    check_deterministic(Teacher(model), batch_of())
    with pytest.raises(ConfigError, match="answers differently when it is asked again"):
        check_deterministic(Teacher(Noisy(model.config, model.backbone, {})), batch_of())


def test_vocabularies_are_compared_by_content(tmp_path: Path) -> None:
    one, same = tokenizer(tmp_path / "one", WORDS), tokenizer(tmp_path / "same", WORDS)
    check_vocabulary(one, same)
    swapped = tokenizer(tmp_path / "swapped", [*WORDS[:5], "film", "a"])
    with pytest.raises(ConfigError, match=r"under other ids 'a', 'film'\. Train the student with the teacher's"):
        check_vocabulary(one, swapped)
    more = tokenizer(tmp_path / "more", [*WORDS, "une", "scene"])
    with pytest.raises(ConfigError, match=r"has 7 tokens, the teacher's 9; missing in the student's 'scene', 'une', "):
        check_vocabulary(one, more)


def test_classes_have_to_stand_in_the_same_order() -> None:
    names = {0: "entailment", 1: "neutral", 2: "contradiction"}
    teacher = teacher_of("bert", "sequence_classification", id2label=names)
    check_labels(("entailment", "neutral", "contradiction"), teacher)
    with pytest.raises(ConfigError, match="in another order: the data has contradiction, entailment, neutral; the tea"):
        check_labels(("contradiction", "entailment", "neutral"), teacher, whose="data")
    with pytest.raises(ConfigError, match="are others: the student has 0, 1; the teacher has entailment, neutral, con"):
        check_labels(("0", "1"), teacher)


def test_classes_without_names_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    teacher = teacher_of("bert", "sequence_classification")
    with caplog.at_level(logging.WARNING):
        check_labels(("LABEL_0", "LABEL_1"), teacher)
        assert not caplog.text
        check_labels(("no", "yes"), teacher)
    assert "classes cannot be compared by name" in caplog.text
    with pytest.raises(ConfigError, match="are others"):
        check_labels(("no", "yes", "perhaps"), teacher)
