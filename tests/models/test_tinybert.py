"""TinyBERT student and teacher compute what Huawei's code computes, raw scores and hidden states included."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from plm.blocks.tap import Tap
from plm.errors import ConfigError
from plm.heads.hidden_projection import HiddenProjection
from plm.heads.model import Model, build_model
from plm.models.config import default_labels
from plm.models.tinybert import TinyBertConfig
from tests.models.closed_form import IDS, MASK, TYPES, fill, golden
from tests.tiny_models import tiny_config
from tests.tolerances import assert_close

# The numbers below come from TinyBERT's modeling.py and task_distill.py with the same weights and inputs.


def golden_model(*, hidden_size: int, layers: int, intermediate_size: int) -> Model:
    """Three classes, and a fit layer into 16 dimensions."""
    config = TinyBertConfig(
        vocab_size=20,
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=intermediate_size,
        max_position_embeddings=16,
        id2label=default_labels(3),
        fit="shared",
        fit_size=16,
    )
    return fill(build_model(config, ("sequence_classification", "hidden_projection")))


@pytest.fixture(scope="module")
def teacher() -> Model:
    """Four layers."""
    return golden_model(hidden_size=16, layers=4, intermediate_size=32)


@pytest.fixture(scope="module")
def student() -> Model:
    """Two layers."""
    return golden_model(hidden_size=8, layers=2, intermediate_size=12)


def run(model: Model) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Logits; scores of each layer, 0 at padding; the embeddings and the output of each layer."""
    tap = Tap(model, *model.tap_names())
    logits = model(IDS, MASK, TYPES, tap=tap)["logits"]
    layers = range(model.config.num_hidden_layers)
    scores = [tap[f"blocks.{n}.scores"].masked_fill(MASK[:, None, None] == 0, 0.0) for n in layers]
    return logits, scores, [tap["embeddings"], *(tap[f"blocks.{n}.output"] for n in layers)]


def test_logits_are_those_of_the_original(student: Model, teacher: Model) -> None:
    assert_close(run(student)[0].flatten(), golden("-.222183 .738091 -.085949 -.229552 .745498 -.093150"))
    assert_close(run(teacher)[0].flatten(), golden(".263341 -.093911 -.440048 .340479 -.025640 -.389551"))


def test_every_second_layer_of_scores_is_as_far_apart_as_in_the_original(student: Model, teacher: Model) -> None:
    ours, theirs = run(student)[1], run(teacher)[1]
    distances = [F.mse_loss(ours[n], theirs[2 * n + 1]) for n in range(2)]
    assert_close(torch.stack(distances), golden("5.978831 9.201597"))


def test_projected_hidden_states_are_as_far_apart_as_in_the_original(student: Model, teacher: Model) -> None:
    ours, theirs, fit = run(student)[2], run(teacher)[2], student.heads["hidden_projection"]
    assert isinstance(fit, HiddenProjection)
    distances = [F.mse_loss(fit.project(ours[n], n), theirs[2 * n]) for n in range(3)]
    assert_close(torch.stack(distances), golden("2.357323 1.948914 1.577280"))


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.408350), (2.0, 0.376067)])
def test_predictions_are_as_far_apart_as_in_the_original(
    student: Model, teacher: Model, temperature: float, expected: float
) -> None:
    ours, theirs = (run(model)[0] / temperature for model in (student, teacher))
    assert_close(-(theirs.softmax(-1) * ours.log_softmax(-1)).mean(), torch.tensor(expected))


def test_the_classifier_sees_positive_values_only(student: Model) -> None:
    """And no dropout: training and evaluation mode agree where the rest has none."""
    config = tiny_config("tinybert")
    assert (config.classifier_activation, config.classifier_dropout) == ("relu", 0.0)
    pooled = student.backbone(IDS, MASK, TYPES).pooled
    weight, bias = (dict(student.named_parameters())[f"heads.sequence_classification.classifier.linear.{kind}"]
                    for kind in ("weight", "bias"))  # fmt: skip
    assert pooled.min() < 0
    assert_close(run(student)[0], F.linear(pooled.clamp(min=0), weight, bias))


@pytest.mark.parametrize("changes", [{"fit": "shared"}, {"fit": "both", "fit_size": 0}])
def test_fit_layers_need_the_size_of_the_teacher(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"fit_size: .* needs the teacher's hidden size"):
        tiny_config("tinybert", **{"fit_size": None, **changes})


def test_an_unknown_kind_of_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"fit: 'per_layers' is not one of .*; did you mean 'per_layer'\?"):
        tiny_config("tinybert", fit="per_layers")
