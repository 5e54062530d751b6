"""Several heads on one backbone: each has its own labels, shared ones are one module, one encoding serves all."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch

from plm.blocks.layout import Packed
from plm.errors import ConfigError, UnknownNameError
from plm.heads.model import Model, build_model
from plm.heads.several import HeadPlan, config_for, settle
from plm.models.config import ModelConfig
from tests.tiny_models import FAMILY_NAMES, mask_of, packing, random_ids, randomized, tiny_config
from tests.tolerances import assert_close

PLANS = {
    "intent": HeadPlan("sequence_classification", {"labels": ("flight", "fare", "airline")}),
    "stars": HeadPlan("sequence_classification", {"num_labels": 1, "problem_type": "regression"}),
    "slots": HeadPlan("token_classification", {"labels": ["O", "B-city"], "dropout": 0.25}),
    "places": HeadPlan(shared_with="slots"),
}


def several(family: str = "bert", plans: Any = PLANS) -> Any:
    return randomized(build_model(tiny_config(family), plans))


def test_every_head_has_its_own_labels_and_options() -> None:
    model = several()
    assert {name: model.head_config(name).labels for name in model.heads} == {
        "intent": ("flight", "fare", "airline"),
        "stars": ("LABEL_0",),
        "slots": ("O", "B-city"),
        "places": ("O", "B-city"),
    }
    assert model.head_config("stars").problem_type == "regression"
    assert model.head_config("intent").problem_type is None
    assert model.heads["slots"].dropout.p == 0.25
    shapes = {name: tuple(model(random_ids(2, 5), head=name).logits.shape) for name in model.heads}
    assert shapes == {"intent": (2, 3), "stars": (2, 1), "slots": (2, 5, 2), "places": (2, 5, 2)}


def test_the_first_head_speaks_for_the_model() -> None:
    model = several()
    assert model.config.labels == ("flight", "fare", "airline")
    assert torch.equal(model.eval()(random_ids(2, 5)).logits, model(random_ids(2, 5), head="intent").logits)


def test_settled_plans_stay_what_they_are() -> None:
    config, plans = settle(tiny_config("bert", problem_type="regression"), PLANS)
    assert settle(config, plans) == (config, plans)
    assert plans["intent"] == HeadPlan("sequence_classification")
    assert config_for(config, plans["slots"]).problem_type == "regression"  # of the config, since the plan is silent


def test_what_the_first_head_says_is_no_matter_of_the_others() -> None:
    plans = {
        "a": HeadPlan("sequence_classification", {"problem_type": "regression", "num_labels": 1}),
        "b": HeadPlan("sequence_classification"),
    }
    model = build_model(tiny_config("bert"), plans)
    assert (model.config.problem_type, model.head_config("b").problem_type) == ("regression", None)
    assert (model.config.num_labels, model.head_config("b").num_labels) == (1, 2)


def test_a_shared_head_is_one_module_with_one_set_of_parameters() -> None:
    model = several()
    assert model.heads["places"] is model.heads["slots"]
    names = [name for name, _ in model.named_parameters()]
    assert "heads.slots.classifier.weight" in names
    assert not any("places" in name for name in names)
    model(random_ids(2, 5), labels=torch.ones(2, 5, dtype=torch.int64), head="places").loss.backward()
    assert model.heads["slots"].classifier.weight.grad is not None


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])
def test_one_encoding_serves_all_heads(family: str, inside: bool) -> None:
    model = several(family).eval()
    inputs = {"input_ids": random_ids(3, 7), "attention_mask": mask_of(7, (0, 7), (0, 3), (2, 6))}
    with packing(inside=inside), mock.patch.object(model.backbone, "forward", wraps=model.backbone.forward) as encode:
        together = model.predict_heads(**inputs)
        assert encode.call_count == 1
        assert list(together) == list(PLANS)
        for name, output in together.items():
            assert torch.equal(output.logits, model(**inputs, head=name).logits)
        assert list(model.predict_heads(**inputs, heads=["slots"])) == ["slots"]


def test_texts_that_the_caller_packed_are_served_too() -> None:
    model, lengths = several().eval(), [4, 1, 6]
    ids = random_ids(3, 6)
    packed = torch.cat([row[:length] for row, length in zip(ids, lengths, strict=True)])
    outputs = model.predict_heads(packed, layout=Packed.from_lengths(lengths, pattern="full"))
    mask = mask_of(6, *((0, length) for length in lengths))
    padded = model.predict_heads(ids, mask)
    assert_close(outputs["intent"].logits, padded["intent"].logits)
    assert_close(outputs["slots"].logits, padded["slots"].logits[mask.bool()])


@pytest.mark.parametrize("name", list(PLANS))
def test_one_head_alone_is_a_model_like_any_other(name: str) -> None:
    model = several().eval()
    alone, kind = (
        model.with_head(name),
        "token_classification" if name in ("slots", "places") else "sequence_classification",
    )
    assert list(alone.heads) == [kind]
    assert alone.config == model.head_config(name)
    assert alone.backbone is model.backbone
    assert not alone.training
    ids = random_ids(2, 5)
    assert torch.equal(alone(ids).logits, model(ids, head=name).logits)
    alone.train()
    assert model.backbone.training  # the same modules


def test_each_head_decides_whether_it_needs_the_pooler() -> None:
    plans = {
        "last": HeadPlan("sequence_classification", {"classifier_pooling": "last_token"}),
        "tags": HeadPlan("token_classification"),
    }
    assert build_model(tiny_config("bert"), plans).backbone.pooler is None
    plans["first"] = HeadPlan("sequence_classification", {"classifier_pooling": "pooled"})
    assert build_model(tiny_config("bert"), plans).backbone.pooler is not None
    with pytest.raises(ConfigError, match="first reads the pooled first token, and this bert has no pooler"):
        build_model(tiny_config("bert"), plans, pooler=False)


def test_heads_of_a_model_put_together_by_hand_need_no_plans() -> None:
    model = build_model(tiny_config("bert"), ("token_classification",))
    by_hand = Model(model.config, model.backbone, dict(model.heads.items()))
    assert by_hand.plans == model.plans == {"token_classification": HeadPlan("token_classification")}


@pytest.mark.parametrize(
    ("plans", "message"),
    [
        ({"a b": HeadPlan("masked_lm")}, "head 'a b': a name has letters, digits"),
        ({"": HeadPlan("masked_lm")}, "head '': a name has letters"),
        ({"a.b": HeadPlan("masked_lm")}, "head 'a.b': a name has letters"),
        ({"type": HeadPlan("masked_lm")}, r"no attribute of modules \(type\)"),
        ({"a": HeadPlan(shared_with="b")}, "head 'a': shared with 'b', which is no head of its own"),
        (
            {"a": HeadPlan("masked_lm"), "b": HeadPlan(shared_with="a"), "c": HeadPlan(shared_with="b")},
            "head 'c': shared with 'b', which is no head of its own",
        ),
        ({"b": HeadPlan(shared_with="a"), "a": HeadPlan("masked_lm")}, "the first head cannot be one shared with 'a'"),
        (
            {"a": HeadPlan("masked_lm", {"hidden_size": 8})},
            "hidden_size belongs to the backbone, which all heads share",
        ),
        ({"a": HeadPlan("masked_lm", {"lables": ["x"]})}, "head 'a': unknown option 'lables'; did you mean 'labels'?"),
        ({"a": HeadPlan("masked_lm", {"num_labels": 0})}, "num_labels: expected an integer from 1 to 1000000, got 0"),
        ({"a": HeadPlan("masked_lm", {"labels": 3})}, "head 'a': id2label: expected"),
        ({"a": HeadPlan("masked_lm", {"dropout": 1.5})}, r"head 'a': classifier_dropout: expected a probability"),
    ],
)
def test_plans_that_cannot_be_followed_say_why(plans: dict[str, HeadPlan], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_model(tiny_config("bert"), plans)


def test_a_plan_is_a_kind_or_a_share() -> None:
    with pytest.raises(ConfigError, match=r"a head needs a kind \(known: .*masked_lm.*\) or another head to be shared"):
        HeadPlan()
    with pytest.raises(ConfigError, match="a head needs a kind"):
        HeadPlan("masked_lm", shared_with="a")
    with pytest.raises(ConfigError, match="shared with 'a' has its options"):
        HeadPlan(options={"dropout": 0.1}, shared_with="a")


def test_heads_that_are_not_there_are_named() -> None:
    model = several()
    for ask in (model.head_config, model.with_head, lambda name: model.predict_heads(random_ids(1, 3), heads=[name])):
        with pytest.raises(UnknownNameError, match="no head 'slot'; did you mean 'slots'"):
            ask("slot")
    with pytest.raises(UnknownNameError, match="unknown head 'masked_ml'"):
        build_model(tiny_config("bert"), {"a": HeadPlan("masked_ml")})


def test_options_of_other_families_pass_through_their_own_checks() -> None:
    config: ModelConfig = tiny_config("openai-gpt")
    plans = {"a": HeadPlan("double_heads", {"summary_dropout": 0.5})}
    assert build_model(config, plans).heads["a"].dropout.p == 0.5
