"""A folder with several heads reopens exactly as it was, head by head; who wants one head gets the right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from plm.checkpoints.conversion import convert
from plm.checkpoints.doctor import examine
from plm.checkpoints.formats import safetensors
from plm.checkpoints.head_plans import are_plain, read_plans, write_plans
from plm.checkpoints.inspection import inspect
from plm.checkpoints.loading import load_model
from plm.checkpoints.saving import save_model
from plm.checkpoints.shrink import smaller_model
from plm.config import read_json, write_json
from plm.errors import CheckpointError, ConfigError, UnknownNameError
from plm.heads.model import Model, build_model
from plm.heads.several import HeadPlan, settle
from tests import own_head
from tests.checkpoints.tiny_checkpoints import assert_same_parameters
from tests.tiny_models import FAMILY_NAMES, random_ids, randomized, tiny_config, tiny_model

INTENTS, SLOTS = ("flight", "fare", "airline"), ("O", "B-city")

PLANS = {
    "intent": HeadPlan("sequence_classification", {"labels": INTENTS}),
    "slots": HeadPlan("token_classification", {"labels": SLOTS, "dropout": 0.25}),
    "places": HeadPlan(shared_with="slots"),
    "words": HeadPlan("causal_lm"),
}


def several(family: str = "bert", plans: Any = PLANS, **changes: Any) -> Model:
    model: Model = randomized(build_model(tiny_config(family, **changes), plans)).eval()
    return model


def saved(folder: Path, *arguments: Any, **changes: Any) -> Model:
    model = several(*arguments, **changes)
    save_model(model, folder)
    return model


def names_in(folder: Path) -> set[str]:
    return set(safetensors.read(folder / "model.safetensors"))


# ---- the folder


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("is_tied", [True, False], ids=["tied", "untied"])
def test_all_heads_come_back_bit_by_bit(family: str, is_tied: bool, tmp_path: Path) -> None:
    model = saved(tmp_path, family, tie_word_embeddings=is_tied)
    again, report = load_model(tmp_path)
    assert_same_parameters(model, again)
    assert (again.config, again.plans) == (model.config, model.plans)
    assert again.heads["places"] is again.heads["slots"]
    assert (report.missing, report.mismatched, report.unused) == ((), (), ())
    ids = random_ids(2, 5)
    for name, output in model.predict_heads(ids).items():
        assert torch.equal(output["logits"], again(ids, head=name)["logits"])


@pytest.mark.parametrize("layout", ["google-tf1", "huawei"])
def test_other_layouts_hold_several_heads_too(layout: str, tmp_path: Path) -> None:
    model = saved(tmp_path / "first")
    report = convert(tmp_path / "first", tmp_path / "second", layout=layout, verify=True)
    assert report.comparison is not None
    assert report.comparison.is_equal
    assert load_model(tmp_path / "second")[0].plans == model.plans


def test_a_layout_that_cannot_hold_them_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="29 parameters are not a GPT-1"):
        save_model(several("openai-gpt"), tmp_path, layout="openai")


def test_the_config_file_lists_the_heads_and_speaks_of_the_first(tmp_path: Path) -> None:
    saved(tmp_path)
    content = read_json(tmp_path / "config.json")
    assert content["architectures"] == ["BertForSequenceClassification"]
    assert content["id2label"] == {"0": "flight", "1": "fare", "2": "airline"}
    assert content["heads"] == [
        {"name": "intent", "kind": "sequence_classification"},
        {"name": "slots", "kind": "token_classification", "options": {"classifier_dropout": 0.25, "labels": [*SLOTS]}},
        {"name": "places", "shared_with": "slots"},
        {"name": "words", "kind": "causal_lm", "options": {"labels": None}},
    ]


def test_the_first_head_has_the_names_of_the_layout_and_a_shared_one_is_stored_once(tmp_path: Path) -> None:
    saved(tmp_path)
    assert {name for name in names_in(tmp_path) if "classifier" in name} == {
        "classifier.weight",
        "classifier.bias",
        "heads.slots.classifier.weight",
        "heads.slots.classifier.bias",
    }


@pytest.mark.parametrize("heads", [(), ("sequence_classification",), ("pretraining", "token_classification")])
def test_heads_that_the_layout_has_names_for_need_no_list(heads: tuple[str, ...], tmp_path: Path) -> None:
    model = tiny_model("bert", *heads)
    save_model(model, tmp_path)
    assert "heads" not in read_json(tmp_path / "config.json")
    assert not any(name.startswith("heads.") for name in names_in(tmp_path))
    assert are_plain(model.plans)


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
def test_a_head_of_a_third_party_is_stored_under_our_names(place: int, tmp_path: Path) -> None:
    with own_head.registered() as kind:
        plans = [("ends", HeadPlan(kind, {"labels": INTENTS})), ("slots", PLANS["slots"])]
        model = saved(tmp_path, "bert", dict(plans if place == 0 else reversed(plans)))
        again, report = load_model(tmp_path)
        assert_same_parameters(model, again)
        assert (report.missing, report.unused) == ((), ())
        assert "heads.ends.decide.weight" in names_in(tmp_path)
        alone, _ = load_model(tmp_path, heads=(kind,))
        assert_same_parameters(model.with_head("ends"), alone)
        assert alone.config.labels == INTENTS
    with pytest.raises(UnknownNameError, match="unknown head 'both_ends'"):
        load_model(tmp_path)


def test_a_head_of_a_third_party_alone_is_stored_too(tmp_path: Path) -> None:
    with own_head.registered() as kind:
        model = randomized(build_model(tiny_config("bert"), (kind,))).eval()
        save_model(model, tmp_path)
        for heads in (None, (kind,)):
            again, report = load_model(tmp_path, heads=heads)
            assert_same_parameters(model, again)
            assert (report.missing, report.unused) == ((), ())


def test_a_single_head_under_a_name_of_its_own_keeps_it(tmp_path: Path) -> None:
    model = saved(tmp_path, "bert", {"mood": HeadPlan("sequence_classification", {"num_labels": 3})})
    assert list(load_model(tmp_path)[0].heads) == ["mood"]
    assert_same_parameters(load_model(tmp_path)[0], model)


def test_many_heads_do_not_hide_a_small_backbone(tmp_path: Path) -> None:
    plans = {f"task{n}": HeadPlan("token_classification", {"num_labels": 1 + n}) for n in range(200)}
    model = saved(tmp_path, "bert", plans)
    assert_same_parameters(load_model(tmp_path)[0], model)


# ---- who gets what


def test_the_backbone_alone_opens_as_ever(tmp_path: Path) -> None:
    model = saved(tmp_path)
    alone, report = load_model(tmp_path, heads=())
    assert torch.equal(alone(random_ids(2, 4))["last_hidden_state"], several_states(model))
    assert all(name.startswith(("heads.", "classifier.")) for name in report.unused)


def several_states(model: Model) -> torch.Tensor:
    return model.backbone(random_ids(2, 4)).last_hidden_state


@pytest.mark.parametrize(
    ("kind", "name", "labels"),
    [("sequence_classification", "intent", INTENTS), ("token_classification", "slots", SLOTS)],
)
def test_a_kind_finds_the_only_head_that_is_one(kind: str, name: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    model = saved(tmp_path)
    alone, report = load_model(tmp_path, heads=(kind,))
    assert (list(alone.heads), alone.config.labels, report.missing) == ([kind], labels, ())
    ids = random_ids(2, 5)
    assert torch.equal(alone(ids)["logits"], model(ids, head=name)["logits"])


def test_a_kind_that_is_not_stored_never_gets_the_weights_of_another(tmp_path: Path) -> None:
    saved(tmp_path, "bert", {"intent": PLANS["intent"]})
    _, report = load_model(tmp_path, heads=("token_classification",))
    assert report.missing == (
        "heads.token_classification.classifier.weight",
        "heads.token_classification.classifier.bias",
    )


def test_of_several_heads_of_a_kind_the_one_of_that_name_is_meant_else_none(tmp_path: Path) -> None:
    kind = "token_classification"
    saved(tmp_path / "two", "bert", {"a": HeadPlan(kind), "b": HeadPlan(kind)})
    with pytest.raises(CheckpointError, match=r"several heads of the kind 'token_classification' \(a, b\)"):
        load_model(tmp_path / "two", heads=(kind,))
    model = saved(tmp_path / "named", "bert", {"a": HeadPlan(kind), kind: HeadPlan(kind)})
    alone, _ = load_model(tmp_path / "named", heads=(kind,))
    assert torch.equal(alone.heads[kind].classifier.weight, model.heads[kind].classifier.weight)  # type: ignore[arg-type,union-attr]


def test_options_of_the_caller_win_over_those_of_the_list(tmp_path: Path) -> None:
    saved(tmp_path)
    again, report = load_model(tmp_path, heads=("token_classification",), overrides={"num_labels": 5})
    assert again.config.num_labels == 5
    assert len(report.mismatched) == 2
    again, _ = load_model(tmp_path, overrides={"classifier_dropout": 0.5})
    assert again.heads["slots"].dropout.p == 0.5  # type: ignore[union-attr]


def test_heads_can_be_added_and_left_out_when_a_folder_is_opened_again(tmp_path: Path) -> None:
    model = saved(tmp_path)
    wanted = {
        "slots": HeadPlan("token_classification"),
        "new": HeadPlan("sequence_classification", {"num_labels": 4}),
        "words": HeadPlan("masked_lm"),  # another kind than the one stored
    }
    again, report = load_model(tmp_path, heads=wanted)
    assert again.head_config("slots").labels == SLOTS
    assert torch.equal(again(random_ids(2, 5), head="slots")["logits"], model(random_ids(2, 5), head="slots")["logits"])
    missing = {name.split(".")[1] for name in report.missing}
    assert missing == {"new", "words"}


@pytest.mark.parametrize(("own", "other"), [("slots", "places"), ("intent", "goal")])
def test_a_shared_head_can_become_one_of_its_own(own: str, other: str, tmp_path: Path) -> None:
    model = saved(tmp_path, "bert", {**PLANS, "goal": HeadPlan(shared_with="intent")})
    kind = PLANS[own].kind
    again, report = load_model(tmp_path, heads={own: HeadPlan(kind), other: HeadPlan(kind)})
    first, second = (again.heads[name].state_dict() for name in (own, other))
    assert report.missing == ()
    for name, tensor in model.heads[own].state_dict().items():
        assert torch.equal(first[name], tensor)
        assert torch.equal(second[name], tensor)
        assert first[name].data_ptr() != second[name].data_ptr()


# ---- starting from a checkpoint for one task


def test_new_heads_on_a_pretrained_model_take_what_it_stores_for_them(tmp_path: Path) -> None:
    model = tiny_model("bert", "pretraining").eval()
    save_model(model, tmp_path)
    again, report = load_model(tmp_path, heads={"mlm": HeadPlan("masked_lm"), "slots": PLANS["slots"]})
    ids = random_ids(2, 5)
    assert torch.equal(again(ids, head="mlm")["logits"], model(ids)["prediction_logits"])
    assert {name.split(".")[1] for name in report.missing} == {"slots"}


def test_a_stored_classifier_goes_to_the_first_head_of_its_kind(tmp_path: Path) -> None:
    model = tiny_model("bert", "sequence_classification", id2label=dict(enumerate(INTENTS))).eval()
    save_model(model, tmp_path)
    plans = {
        "tags": HeadPlan("token_classification", {"labels": INTENTS}),
        "intent": HeadPlan("sequence_classification"),
        "mood": HeadPlan("sequence_classification"),
    }
    again, report = load_model(tmp_path, heads=plans)
    assert torch.equal(again(random_ids(2, 5), head="intent")["logits"], model(random_ids(2, 5))["logits"])
    assert {name.split(".")[1] for name in report.missing} == {"tags", "mood"}


# ---- tools


def test_inspect_tells_every_head_and_knows_every_tensor(tmp_path: Path) -> None:
    saved(tmp_path)
    report = inspect(tmp_path)
    heads = "intent (sequence_classification), slots (token_classification), places (is slots), words (causal_lm)"
    assert f"heads: {heads}" in report.lines()
    assert (report.problem, report.extra, report.missing) == (None, (), ())
    assert len(report.part("heads.slots")) == 2
    assert inspect(tmp_path, heads=("token_classification",)).missing == ()


def test_the_doctor_finds_nothing_wrong(tmp_path: Path) -> None:
    saved(tmp_path)
    found = {finding.check: finding for finding in examine(tmp_path)}
    assert {found[check].severity for check in ("config", "weights", "numbers", "labels", "copies")} == {"ok"}


def test_fewer_layers_keep_all_heads() -> None:
    model = several()
    smaller = smaller_model(model, layers=[0], rows=list(range(20)))
    assert smaller.plans == model.plans
    assert smaller.heads["places"] is smaller.heads["slots"]
    assert smaller(random_ids(2, 5).clamp(max=19), head="words")["logits"].shape == (2, 5, 20)


# ---- files that lie


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["intent"], r"config\.json: heads\[0\]: expected an object with name and kind, got str"),
        ([{"kind": "masked_lm"}], r"heads\[0\]: missing field 'name'"),
        ([{"name": "a", "kind": "masked_lm", "size": 3}], r"heads\[0\]: unknown field 'size'"),
        ([{"name": "a", "kind": "masked_lm"}] * 2, r"heads\[1\]: 'a' is there twice"),
        ([{"name": "a"}], r"heads\[0\]: a head needs a kind"),
        ([{"name": "a", "kind": "masked_lm", "options": []}], r"heads\[0\]: options: expected"),
    ],
)
def test_a_list_that_is_wrong_names_its_row(rows: list[Any], message: str, tmp_path: Path) -> None:
    saved(tmp_path)
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | {"heads": rows})
    with pytest.raises(ConfigError, match=message):
        load_model(tmp_path)
    assert "heads[" in str(inspect(tmp_path).problem)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"name": "a", "kind": "masked_ml"}, UnknownNameError),
        ({"name": "a.b", "kind": "masked_lm"}, ConfigError),
        ({"name": "a", "shared_with": "a"}, ConfigError),
        ({"name": "a", "kind": "masked_lm", "options": {"vocab_size": 7}}, ConfigError),
        ({"name": "a", "kind": "sequence_classification", "options": {"num_labels": 10**15}}, ConfigError),
        ({"name": "a", "kind": "sequence_classification", "options": {"labels": [["x"], 2]}}, ConfigError),
    ],
)
def test_heads_that_cannot_be_built_are_errors_of_ours(
    row: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    saved(tmp_path)
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | {"heads": [row]})
    with pytest.raises(error):
        load_model(tmp_path)
    assert inspect(tmp_path).problem is not None
    load_model(tmp_path, heads=())  # the backbone is sound


def test_what_is_no_list_of_heads_is_noted_like_any_strange_key(tmp_path: Path) -> None:
    save_model(tiny_model("bert", "masked_lm"), tmp_path)
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | {"heads": 12})
    _, report = load_model(tmp_path)
    assert any("'heads' is not used" in note for note in report.notes)


def test_a_missing_head_is_made_anew_and_reported(tmp_path: Path) -> None:
    saved(tmp_path)
    tensors = dict(safetensors.read(tmp_path / "model.safetensors").items())
    safetensors.write(tmp_path, {name: tensor for name, tensor in tensors.items() if "slots" not in name})
    _, report = load_model(tmp_path)
    assert report.missing == ("heads.slots.classifier.weight", "heads.slots.classifier.bias")


def test_reading_undoes_writing() -> None:
    _, plans = settle(tiny_config("bert"), PLANS)
    config, again = settle(*_read_again(plans))
    assert again == plans
    assert config.labels == INTENTS


def _read_again(plans: Any) -> Any:
    return settle(tiny_config("bert"), PLANS)[0], read_plans(write_plans(plans), source="config.json")
