"""Projection layers are a head of the student while it learns, kept or dropped afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from plm.checkpoints.loading import load_model
from plm.checkpoints.saving import save_model
from plm.distillation import add_projection, drop_projection
from plm.distillation.projection import projected, projection_of, require_projection
from plm.errors import ConfigError
from plm.models.tinybert import TinyBertConfig
from tests.distillation.pairs import student_of
from tests.tiny_models import random_ids
from tests.tolerances import assert_close

HIDDEN = torch.randn(5, 12)


@pytest.mark.parametrize(("form", "layers"), [("per_layer", 3), ("shared", 1)])
def test_they_are_parameters_of_the_student_with_random_weights(form: str, layers: int) -> None:
    student = student_of("tinybert", "sequence_classification").eval()
    before = student.num_parameters()
    add_projection(student, 24, form=form, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    head = projection_of(student)
    assert head is not None
    assert student.num_parameters() - before == layers * (12 * 24 + 24)
    assert all(0.01 < weight.std() < 0.03 for weight in head.parameters() if weight.dim() > 1)
    assert all(not bias.any() for bias in head.parameters() if bias.dim() == 1)
    assert isinstance(student.config, TinyBertConfig)
    assert (student.config.fit, student.config.fit_size) == (form, 24)
    assert list(student.heads) == ["sequence_classification", "hidden_projection"]
    assert student(random_ids(2, 4)).logits.shape == (2, 2)  # the first head is still the first


def test_states_go_through_the_layer_that_belongs_to_them() -> None:
    student = student_of()
    assert projected(student, HIDDEN, 1) is HIDDEN
    add_projection(student, 24)
    head = projection_of(student)
    assert head is not None
    assert head.per_layer is not None
    for layer in range(3):
        assert_close(projected(student, HIDDEN, layer), head.per_layer[layer](HIDDEN))


def test_none_is_added_where_widths_agree_or_there_is_one() -> None:
    student = student_of()
    add_projection(student, 12)
    assert projection_of(student) is None
    add_projection(student, 24)
    first = projection_of(student)
    add_projection(student, 24)
    assert projection_of(student) is first


def test_another_width_is_refused() -> None:
    student = student_of()
    with pytest.raises(ConfigError, match=r"the student has 12, the teacher 24: call add_projection\(student, 24\)"):
        require_projection(student, 24)
    add_projection(student, 24)
    for refuse in (add_projection, require_projection):
        with pytest.raises(ConfigError, match=r"lead to \[24\], and the teacher's hidden size is 16: call drop_proj"):
            refuse(student, 16)


@pytest.mark.parametrize("family", ["tinybert", "bert", "nezha"])
def test_dropped_the_student_is_what_it_was(family: str) -> None:
    student = student_of(family, "sequence_classification")
    config, plans, names = student.config, dict(student.plans), list(student.state_dict())
    for _ in range(2):
        add_projection(student, 24)
        drop_projection(student)
        drop_projection(student)
    assert (student.config, student.plans, list(student.state_dict())) == (config, plans, names)


@pytest.mark.parametrize("form", ["per_layer", "shared"])
def test_a_tinybert_is_saved_with_them_or_without(tmp_path: Path, form: str) -> None:
    student = student_of("tinybert", "sequence_classification").eval()
    add_projection(student, 24, form=form)  # type: ignore[arg-type]
    for name, heads in (("with", 2), ("without", 1)):
        save_model(student, tmp_path / name)
        loaded, _ = load_model(tmp_path / name, heads=tuple(student.heads))
        assert loaded.config == student.config
        assert len(loaded.heads) == heads
        for key, value in student.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value)
        drop_projection(student)
