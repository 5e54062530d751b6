"""With the means of Huawei's code, losses are those that Huawei's code computes."""

from __future__ import annotations

import pytest
import torch

from plm.distillation import DistillationStep, Objective, Teacher
from plm.heads.model import Model
from tests.distillation.pairs import golden_pair
from tests.models.closed_form import IDS, MASK, TYPES
from tests.tolerances import assert_close

# The numbers below come from TinyBERT's modeling.py and task_distill.py with the same weights and inputs.

BATCH = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES}
PARTS = {"attention": 0.0, "hidden": 0.0, "embedding": 0.0}


@pytest.fixture(scope="module")
def pair() -> tuple[Model, Model]:
    """Student and teacher."""
    return golden_pair()


def losses(pair: tuple[Model, Model], objective: Objective) -> dict[str, float]:
    student, teacher = pair
    step = DistillationStep(student, Teacher(teacher), objective)
    return {name: loss.item() for name, loss in step(student, BATCH).losses.items()}


def close(found: dict[str, float], **expected: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(torch.tensor(found[name]), torch.tensor(value))


def test_inner_losses_are_those_of_the_original(pair: tuple[Model, Model]) -> None:
    found = losses(pair, Objective(reduction="noah"))
    close(found, attention=15.180429, embedding=2.357323, hidden=1.948914 + 1.577280)


@pytest.mark.parametrize(("teacher_layers", "expected"), [((2, 0), 5.978831), ((0, 4), 9.201597)])
def test_scores_of_each_block_are_those_of_the_original(
    pair: tuple[Model, Model], teacher_layers: tuple[int, int], expected: float
) -> None:
    found = losses(pair, Objective(reduction="noah", teacher_layers=teacher_layers, hidden=0.0, embedding=0.0))
    close(found, attention=expected)


@pytest.mark.parametrize(("teacher_layers", "expected"), [((2, 0), 1.948914), ((0, 4), 1.577280)])
def test_states_of_each_block_are_those_of_the_original(
    pair: tuple[Model, Model], teacher_layers: tuple[int, int], expected: float
) -> None:
    found = losses(pair, Objective(reduction="noah", teacher_layers=teacher_layers, attention=0.0, embedding=0.0))
    close(found, hidden=expected)


@pytest.mark.parametrize(("temperature", "mean", "whole"), [(1.0, 0.408350, 1.225050), (2.0, 0.376067, 1.128202)])
def test_soft_cross_entropy_is_that_of_the_original_times_the_classes(
    pair: tuple[Model, Model], temperature: float, mean: float, whole: float
) -> None:
    objective = Objective(**PARTS, prediction=1.0, temperature=temperature, reduction="noah")
    close(losses(pair, objective), prediction=mean)
    close(losses(pair, Objective(**PARTS, prediction=1.0, temperature=temperature)), prediction=whole)


def test_regression_is_the_squared_distance_from_the_teachers_scores() -> None:
    pair = golden_pair(problem_type="regression")
    close(losses(pair, Objective(**PARTS, prediction=1.0)), prediction=0.343465)


def test_padding_counts(pair: tuple[Model, Model]) -> None:
    step = DistillationStep(pair[0], Teacher(pair[1]), Objective(reduction="noah"))
    assert step.weigh(BATCH) == {"attention": 2 * 8 * 8, "hidden": 16, "embedding": 16}


def test_states_alone_are_means_over_padding_too(pair: tuple[Model, Model]) -> None:
    """Also where no scores are asked for, which would let models leave the padding out."""
    found = losses(pair, Objective(reduction="noah", attention=0.0, hidden=0.0))
    close(found, embedding=2.357323)
