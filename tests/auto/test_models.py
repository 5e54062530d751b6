"""The front door: from a path to a config or to a model with the head asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import plm
from plm.auto import models
from plm.auto.arguments import FOREIGN
from plm.auto.model import PretrainedModel
from plm.checkpoints.saving import save_model
from plm.config import read_json
from plm.errors import CheckpointError, ConfigError
from plm.heads.head import HEADS
from plm.models.families import FAMILIES
from tests import own_head
from tests.checkpoints.tiny_checkpoints import assert_same_parameters
from tests.tiny_models import FAMILY_NAMES, random_ids, tiny_config, tiny_model

CLASSES = [value for name, value in vars(models).items() if name.startswith("AutoModel")]
# Heads whose name in config.json is ours; AutoModelForTasks opens them.
NAMED_BY_US = {"matching", "classification_with_lm", "multiple_choice_with_lm"}
ONE_HEAD = [cls for cls in CLASSES if issubclass(cls, plm.AutoModel) and cls.heads]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tiny_model("bert", "sequence_classification", id2label={0: "no", 1: "yes", 2: "maybe"}), tmp_path)
    return tmp_path


def supported(family: str) -> list[Any]:
    return [cls for cls in ONE_HEAD if cls.heads[0] in FAMILIES.get(family).heads]


@pytest.mark.parametrize(("family", "cls"), [(family, cls) for family in FAMILY_NAMES for cls in supported(family)])
def test_every_class_loads_its_head_in_evaluation_mode(family: str, cls: Any, tmp_path: Path) -> None:
    saved = tiny_model(family, *cls.heads)
    save_model(saved, tmp_path)
    model = cls.from_pretrained(tmp_path)
    assert type(model) is PretrainedModel
    assert tuple(model.heads) == cls.heads
    assert_same_parameters(saved, model)
    assert not any(module.training for module in model.modules())
    assert model.loaded is not None
    assert model.loaded.missing == ()


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_backbone_alone_drops_the_head(family: str, tmp_path: Path) -> None:
    save_model(tiny_model(family, "sequence_classification"), tmp_path)
    model = plm.AutoModel.from_pretrained(str(tmp_path))
    assert not model.heads
    assert model.loaded is not None
    assert {name.split(".")[0] for name in model.loaded.unused} <= {"classifier", "score"}
    assert model(random_ids(2, 5)).last_hidden_state.shape == (2, 5, 12)


def test_every_head_with_a_class_name_in_transformers_has_a_class() -> None:
    named = {name for name, spec in HEADS.items() if spec.architecture}
    assert {cls.heads[0] for cls in ONE_HEAD} == named - NAMED_BY_US
    assert {cls.__name__ for cls in CLASSES} <= set(plm.__all__)


@pytest.mark.parametrize("cls", [*CLASSES, plm.AutoConfig])
def test_there_is_nothing_to_instantiate(cls: Any) -> None:
    with pytest.raises(OSError, match=f"use {cls.__name__}.from_pretrained"):
        cls()


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_model_from_a_config_is_random_whole_and_in_training_mode(family: str) -> None:
    torch.use_deterministic_algorithms(True)  # memory that nobody filled holds NaN
    try:
        model = plm.AutoModelForSequenceClassification.from_config(tiny_config(family))
    finally:
        torch.use_deterministic_algorithms(False)
    assert model.training
    assert model.loaded is None
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def test_a_generator_decides_about_the_random_weights() -> None:
    def made(seed: int) -> PretrainedModel:
        return plm.AutoModel.from_config(tiny_config("bert"), generator=torch.Generator().manual_seed(seed))

    assert_same_parameters(made(1), made(1))
    assert not torch.equal(made(1).backbone.embeddings.word.weight, made(2).backbone.embeddings.word.weight)


@pytest.mark.parametrize("cls", [plm.AutoModelForMaskedLM, plm.AutoModelForNextSentencePrediction])
def test_a_head_that_the_family_does_not_have_is_refused(cls: Any, tmp_path: Path) -> None:
    save_model(tiny_model("openai-gpt"), tmp_path)
    with pytest.raises(ConfigError, match=r"openai-gpt has no head '\w+' \(it has: causal_lm"):
        cls.from_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="openai-gpt has no head"):
        cls.from_config(tiny_config("openai-gpt"))
    with pytest.raises(ConfigError, match="openai-gpt has no head"):
        plm.AutoModelForTasks.from_config(tiny_config("openai-gpt"), heads={"a": plm.HeadPlan(cls.heads[0])})


def test_several_heads_start_from_a_checkpoint_for_one_task(folder: Path, tmp_path: Path) -> None:
    plans = {
        "intent": plm.HeadPlan("sequence_classification", {"labels": ("no", "yes", "maybe")}),
        "slots": plm.HeadPlan("token_classification", {"num_labels": 5}),
        "old": plm.HeadPlan(shared_with="intent"),
    }
    one = plm.AutoModelForSequenceClassification.from_pretrained(folder)
    model = plm.AutoModelForTasks.from_pretrained(folder, heads=plans)
    assert torch.equal(model(random_ids(2, 5), head="old").logits, one(random_ids(2, 5)).logits)
    assert model.loaded is not None
    assert {name.split(".")[1] for name in model.loaded.missing} == {"slots"}
    model.save_pretrained(tmp_path / "all")
    again = plm.AutoModelForTasks.from_pretrained(tmp_path / "all")
    assert_same_parameters(model, again)
    assert again.heads["old"] is again.heads["intent"]
    again.with_head("slots").save_pretrained(tmp_path / "slots")
    slots = plm.AutoModelForTokenClassification.from_pretrained(tmp_path / "slots")
    assert torch.equal(slots(random_ids(2, 5)).logits, model(random_ids(2, 5), head="slots").logits)
    assert slots.config.num_labels == 5


def test_a_head_of_a_third_party_goes_with_every_family(tmp_path: Path) -> None:
    with own_head.registered() as kind:
        for family in FAMILY_NAMES:
            made = plm.AutoModelForTasks.from_config(tiny_config(family), heads={"ends": plm.HeadPlan(kind)})
            made.save_pretrained(tmp_path / family)
            assert_same_parameters(made, plm.AutoModelForTasks.from_pretrained(tmp_path / family))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", torch.float32),
        ("fp32", torch.float32),
        ("bf16", torch.bfloat16),
        (torch.float16, torch.float16),
        ("auto", torch.bfloat16),
    ],
)
def test_weights_have_the_type_asked_for(dtype: Any, expected: torch.dtype, tmp_path: Path) -> None:
    save_model(tiny_model("nezha", "masked_lm").to(torch.bfloat16), tmp_path)
    model = plm.AutoModelForMaskedLM.from_pretrained(tmp_path, dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {expected}
    from_config = plm.AutoModel.from_config(tiny_config("bert"), dtype=dtype)
    assert from_config.dtype == (torch.float32 if dtype == "auto" else expected)


def test_an_unknown_type_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match=r"dtype: 'float23' is not one of 'float32'.*did you mean 'float32'\?"):
        plm.AutoModel.from_pretrained("./nowhere", dtype="float23")


def test_overrides_win_over_the_file(folder: Path) -> None:
    model = plm.AutoModelForSequenceClassification.from_pretrained(folder, hidden_act="relu", hidden_dropout_prob=0.5)
    assert (model.config.hidden_act, model.config.hidden_dropout_prob) == ("relu", 0.5)
    assert model.config.labels == ("no", "yes", "maybe")
    model = plm.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=5)
    assert model(random_ids(1, 3)).logits.shape == (1, 5)
    assert model.loaded is not None
    assert len(model.loaded.mismatched) == 2
    assert plm.AutoModelForCausalLM.from_pretrained(folder, is_decoder=True).config.attention_pattern == "causal"


def test_overrides_that_nothing_takes_are_errors(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"'num_label' is no config field of bert .* did you mean 'num_labels'\?"):
        plm.AutoModel.from_pretrained(folder, num_label=3)
    with pytest.raises(ConfigError, match=r"did you mean 'num_labels'\?"):
        plm.AutoConfig.from_pretrained(folder, num_label=3)


@pytest.mark.parametrize("name", FOREIGN)
def test_arguments_of_transformers_are_refused_with_what_to_do_instead(name: str, folder: Path) -> None:
    for load in (plm.AutoModel.from_pretrained, plm.AutoConfig.from_pretrained):
        with pytest.raises(ConfigError) as error:
            load(folder, **{name: True})
        assert str(error.value) == f"{name!r} is an argument of transformers: {FOREIGN[name]}"


def test_a_config_can_be_given_as_a_path_or_as_its_content(folder: Path, tmp_path: Path) -> None:
    content = read_json(folder / "config.json")
    elsewhere = (folder / "config.json").rename(tmp_path / "elsewhere.json")
    for config in (elsewhere, str(elsewhere), content):
        assert plm.AutoModel.from_pretrained(folder, config=config).config.num_labels == 3


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_config_alone_is_that_of_the_model(family: str, tmp_path: Path) -> None:
    save_model(tiny_model(family), tmp_path)
    config = plm.AutoConfig.from_pretrained(tmp_path)
    assert config == plm.AutoModel.from_pretrained(tmp_path).config == tiny_config(family)
    assert plm.AutoConfig.from_pretrained(tmp_path / "config.json") == config
    assert plm.AutoConfig.from_pretrained(tmp_path, num_labels=4).num_labels == 4


def test_a_place_that_is_not_there_is_named() -> None:
    with pytest.raises(CheckpointError, match="nowhere: no such file or folder"):
        plm.AutoModel.from_pretrained("./nowhere")
    with pytest.raises(CheckpointError, match="nowhere: no such file or folder"):
        plm.AutoModel.from_pretrained(Path("nowhere"))


def test_a_head_that_the_family_does_not_have_explains_options_that_it_does_not_know(tmp_path: Path) -> None:
    class Choices(plm.AutoModel):
        heads = ("multiple_choice_with_lm",)

    save_model(tiny_model("bert"), tmp_path)
    with pytest.raises(ConfigError, match="bert has no head 'multiple_choice_with_lm'"):
        Choices.from_pretrained(tmp_path, summary_dropout=0.1)
