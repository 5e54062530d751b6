"""A model is a backbone and named heads: packed equals padded for each of them, and wrong calls are explained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from plm.errors import ConfigError, UnknownNameError
from plm.heads.model import Model, build_model
from plm.heads.output import EncoderOutput
from plm.models.families import FAMILIES
from tests.tiny_models import FAMILY_NAMES, gradients, mask_of, packing, random_ids, tiny_config, tiny_model
from tests.tolerances import assert_close

LENGTH = 7
SPANS = [(0, 7), (0, 4), (2, 7), (1, 5)]
COMBINATIONS = [(family, head) for family in FAMILY_NAMES for head in FAMILIES.get(family).heads]
CHOICES = ("multiple_choice", "double_heads", "matching", "multiple_choice_with_lm")

packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


def batch(head: str) -> dict[str, Tensor]:
    """Four texts, or two questions of two choices, padded left, right, on both sides, and not at all."""
    shape = (2, 2, LENGTH) if head in CHOICES else (4, LENGTH)
    return {
        "input_ids": random_ids(*shape),
        "attention_mask": mask_of(LENGTH, *SPANS).view(shape),
        "token_type_ids": torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(3)),
    }


def targets(head: str, ids: Tensor) -> dict[str, Tensor]:
    """Everything that a head takes."""
    words = ids.masked_fill(torch.rand(ids.shape, generator=torch.Generator().manual_seed(1)) < 0.5, -100)
    by_head: dict[str, dict[str, Tensor]] = {
        "masked_lm": {"labels": words},
        "causal_lm": {"labels": words},
        "pretraining": {"labels": words, "next_sentence_label": torch.tensor([0, 1, 1, 0])},
        "next_sentence": {"labels": torch.tensor([0, 1, 1, 0])},
        "sequence_classification": {"labels": torch.tensor([0, 1, 1, 0])},
        "token_classification": {"labels": torch.where(words == -100, words, words % 2)},
        "crf_token_classification": {"labels": torch.where(words == -100, words, words % 2)},
        "question_answering": {
            "start_positions": torch.tensor([1, 2, 3, 99]),
            "end_positions": torch.tensor([4, 3, 6, 99]),
        },
        "multiple_choice": {"labels": torch.tensor([1, 0])},
        "double_heads": {"labels": words, "mc_labels": torch.tensor([1, 0])},
        "matching": {"labels": torch.tensor([[1, 0], [0, 1]]), "margins": torch.tensor([3.0, 4.0])},
        "classification_with_lm": {"labels": torch.tensor([0, 1, 1, 0]), "lm_labels": words},
        "multiple_choice_with_lm": {"labels": torch.tensor([1, 0]), "lm_labels": words},
    }
    return by_head.get(head, {})


def live(tensor: Tensor, head: str) -> Tensor:
    """What does not lie at padding."""
    mask = batch(head)["attention_mask"]
    return tensor[mask == 1] if tensor.shape[: mask.dim()] == mask.shape else tensor


@pytest.mark.parametrize(("family", "head"), COMBINATIONS)
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
def test_packed_equals_padded_for_every_head(family: str, head: str, train: bool, labelled: bool) -> None:
    model, inputs, results = tiny_model(family, head).train(train), batch(head), []
    for inside in (True, False):
        with packing(inside=inside):
            output = model(**inputs, **(targets(head, inputs["input_ids"]) if labelled else {}))
        fields = {name: live(output[name], head) for name in output}
        total = fields["loss"] if "loss" in fields else sum(field.square().sum() for field in fields.values())
        if head == "question_answering" and not labelled:  # the lowest numbers at padding have no square
            total = sum(live(output[name], head).sum() for name in output)
        results.append((fields, gradients(model, total)))
    (packed, packed_gradients), (padded, padded_gradients) = results
    assert packed.keys() == padded.keys()
    assert ("loss" in packed) is (labelled and bool(targets(head, inputs["input_ids"])))
    for name in packed:
        assert_close(packed[name], padded[name], factor=3)  # logits of unscaled random heads
    assert packed_gradients.keys() == padded_gradients.keys()
    for name, gradient in packed_gradients.items():
        scale = max(1.0, gradient.abs().max().item())
        assert_close(gradient / scale, padded_gradients[name] / scale, factor=3)


@pytest.mark.parametrize(("family", "head"), [pair for pair in COMBINATIONS if pair[1] != "hidden_projection"])
@packed_and_padded
def test_what_padding_holds_changes_no_loss(family: str, head: str, inside: bool) -> None:
    model, inputs = tiny_model(family, head).eval(), batch(head)
    wanted, dead = targets(head, inputs["input_ids"]), inputs["attention_mask"] == 0
    other = {**inputs, "input_ids": torch.where(dead, (inputs["input_ids"] + 7) % 31, inputs["input_ids"])}
    relabelled = {
        name: torch.where(dead, torch.ones_like(held), held) if held.shape == dead.shape else held
        for name, held in wanted.items()
    }
    with packing(inside=inside):
        assert torch.equal(model(**inputs, **wanted)["loss"], model(**other, **relabelled)["loss"])


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_model_without_heads_returns_its_encoding(family: str) -> None:
    model, inputs = tiny_model(family), batch("")
    output = model(**inputs)
    assert isinstance(output, EncoderOutput)
    assert output.last_hidden_state.shape == (4, LENGTH, 12)
    assert (output.pooler_output is None) is (family == "openai-gpt")
    nested = model(random_ids(2, 3, 5))
    assert [tuple(nested[name].shape) for name in nested] == [(2, 3, 5, 12), (2, 3, 12)][: len(nested.keys())]


def test_several_heads_share_one_backbone_and_are_asked_by_name() -> None:
    model, inputs = tiny_model("bert", "sequence_classification", "token_classification").eval(), batch("")
    assert model(**inputs)["logits"].shape == (4, 2)  # the first, when none is named
    assert model(**inputs, head="token_classification")["logits"].shape == (4, LENGTH, 2)
    twice = Model(model.config, model.backbone, {"a": model.heads["token_classification"]})
    assert torch.equal(twice(**inputs)["logits"], model(**inputs, head="token_classification")["logits"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "masked_ml"}, r"no head 'masked_ml'; did you mean 'masked_lm'\? \(it has: masked_lm\)"),
        ({"label": torch.zeros(4)}, r"masked_lm takes no target 'label'; did you mean 'labels'\?"),
        ({"atention_mask": torch.ones(4, 7)}, r"masked_lm takes no target 'atention_mask'"),
        ({"position_ids": torch.ones(4, 7)}, r"masked_lm takes no target 'position_ids'"),
    ],
)
def test_a_name_that_nobody_takes_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        tiny_model("bert", "masked_lm")(**batch(""), **arguments)


def test_a_target_that_is_none_is_not_given() -> None:
    model, inputs = tiny_model("bert", "masked_lm"), batch("")
    assert model(**inputs, labels=None).keys() == ["logits"]
    with pytest.raises(UnknownNameError):
        model(**inputs, label=None)


@pytest.mark.parametrize("pooling", ["pooled", "last_token"])
def test_a_pooler_is_built_where_a_head_or_the_caller_wants_one(pooling: str) -> None:
    config = tiny_config("bert", classifier_pooling=pooling)
    assert build_model(config).backbone.pooler is not None
    assert build_model(config, ("masked_lm",)).backbone.pooler is None
    assert build_model(config, ("masked_lm",), pooler=True).backbone.pooler is not None
    assert build_model(config, ("masked_lm", "next_sentence")).backbone.pooler is not None
    assert (build_model(config, ("sequence_classification",)).backbone.pooler is None) is (pooling == "last_token")


def test_a_head_that_needs_a_pooler_cannot_be_built_without_one() -> None:
    with pytest.raises(ConfigError, match="next_sentence reads the pooled first token, and this bert has no pooler"):
        build_model(tiny_config("bert"), ("masked_lm", "next_sentence"), pooler=False)


def test_an_unknown_head_cannot_be_built() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown head 'masked_ml'; did you mean 'masked_lm'\?"):
        build_model(tiny_config("bert"), ("masked_ml",))


def test_parameters_are_counted_once_and_frozen_ones_apart() -> None:
    model = tiny_model("bert", "masked_lm")
    total = sum(held.numel() for held in model.parameters())
    assert model.num_parameters() == total
    model.backbone.embeddings.requires_grad_(False)
    frozen = sum(held.numel() for held in model.backbone.embeddings.parameters())
    assert model.num_parameters(only_trainable=True) == total - frozen


def test_a_model_knows_where_it_is_and_in_which_type() -> None:
    model = tiny_model("bert")
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert model.bfloat16().dtype == torch.bfloat16
    assert model.to("meta").device.type == "meta"


@pytest.mark.parametrize(("family", "head"), [pair for pair in COMBINATIONS if pair[0] != "nezha"])
def test_every_tensor_is_made_on_the_device_of_the_model(family: str, head: str) -> None:
    """The device without memory stands in for a GPU: it refuses operands of another device as well."""
    model = tiny_model(family, head).to("meta")
    inputs = {name: held.to("meta") for name, held in batch(head).items()}
    wanted = {name: held.to("meta") for name, held in targets(head, batch(head)["input_ids"]).items()}
    if head in ("masked_lm", "pretraining", "crf_token_classification"):
        wanted.pop("labels")  # which tokens are masked, or counted, is a question of values
    wanted.pop("lm_labels", None)  # and which are live
    output = model(**inputs, **wanted, pattern="causal")
    assert {output[name].device.type for name in output} == {"meta"}
