"""A student's states are projected into the teacher's space by the layer that belongs to them."""

from __future__ import annotations

import pytest
import torch

from plm.errors import ConfigError
from plm.heads.hidden_projection import HiddenProjection
from plm.heads.model import build_model
from tests.tiny_models import random_ids, tiny_config, tiny_model
from tests.tolerances import assert_close

HIDDEN = torch.randn(2, 3, 12)


def projection(fit: str) -> HiddenProjection:
    """Of a student of two layers, from 12 to 14 dimensions."""
    head = tiny_model("tinybert", "hidden_projection", fit=fit).heads["hidden_projection"]
    assert isinstance(head, HiddenProjection)
    return head


def test_the_first_release_has_one_layer_for_all_states() -> None:
    head = projection("shared")
    assert head.per_layer is None
    assert head.shared is not None
    for state in range(3):
        assert_close(head.project(HIDDEN, state), HIDDEN @ head.shared.weight.t() + head.shared.bias)


@pytest.mark.parametrize("fit", ["per_layer", "both"])
def test_the_second_release_has_a_layer_for_every_state(fit: str) -> None:
    head = projection(fit)
    assert head.per_layer is not None
    assert len(head.per_layer) == 3  # the embeddings and two blocks
    assert (head.shared is None) is (fit == "per_layer")
    for state, layer in enumerate(head.per_layer):
        assert_close(head.project(HIDDEN, state), HIDDEN @ layer.weight.t() + layer.bias)


@pytest.mark.parametrize("fit", ["shared", "per_layer"])
def test_the_output_is_the_last_state_projected(fit: str) -> None:
    model = tiny_model("tinybert", "hidden_projection", fit=fit).eval()
    output = model(random_ids(2, 5))
    head = model.heads["hidden_projection"]
    assert_close(output["logits"], head.project(model.backbone(random_ids(2, 5)).last_hidden_state, 2))


@pytest.mark.parametrize("config", [tiny_config("bert"), tiny_config("tinybert", fit="none")])
def test_a_model_without_fit_layers_has_no_such_head(config: object) -> None:
    with pytest.raises(ConfigError, match="hidden_projection needs a TinyBERT config with fit and fit_size"):
        build_model(config, ("hidden_projection",))  # type: ignore[arg-type]
