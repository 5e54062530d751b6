"""A family, a head, a layout with its container format, a backend and a task, added from outside and used together."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import plm
from plm.auto.backend_model import BackendModel
from plm.auto.models import AutoModel
from plm.backends.eager import TorchRunner
from plm.backends.runner import BACKENDS, Arrays, Backend
from plm.blocks.embeddings import Embeddings
from plm.blocks.kernels import DotProduct
from plm.blocks.linear import Linear
from plm.checkpoints.config_keys import CONFIG_KEYS, ConfigKeys
from plm.checkpoints.config_map import write_config
from plm.checkpoints.conversion import convert
from plm.checkpoints.formats import FORMATS, Format
from plm.checkpoints.loading import load_model
from plm.checkpoints.maps.rules import embeddings, linears, norms
from plm.checkpoints.name_map import MAPS, NameMap
from plm.checkpoints.saving import TARGETS, Target
from plm.checkpoints.transforms import TRANSPOSE
from plm.config import read_json, write_json
from plm.errors import CheckpointError
from plm.heads.head import HEADS, HeadSpec, Targets, never
from plm.heads.output import LogitsOutput
from plm.models.backbone import Backbone, Encoding
from plm.models.config import ModelConfig
from plm.models.families import FAMILIES
from plm.models.family import Family, block_config
from plm.pipelines import TASKS, Task
from plm.registry import Registry
from plm.serving.opening import open_folder
from tests.checkpoints.tiny_checkpoints import assert_same_parameters
from tests.tiny_folders import VOCABULARY, tiny_folder
from tests.tiny_models import random_ids, randomized, tiny_model
from tests.tolerances import assert_close

# ---- what the third party writes


@dataclass(frozen=True, kw_only=True)
class ToyConfig(ModelConfig):
    """An encoder without token types. slope: what its head multiplies by."""

    model_type: ClassVar[str] = "toy"

    type_vocab_size: int = 0
    slope: float = 2.0


def build_toy(config: ToyConfig, *, pooler: bool = False) -> Backbone:
    """Learned positions, no token types, no pooler."""
    return Backbone(
        embeddings=Embeddings(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            positions=config.max_position_embeddings,
            token_types=config.type_vocab_size,
            norm_eps=config.layer_norm_eps,
            dropout=0.0,
        ),
        block=block_config(config),
        layers=config.num_hidden_layers,
        kernel=DotProduct(),
        pooler=False,
    )


class LengthGuess(nn.Module):
    """One number a text. Its weights are in no table of names."""

    targets: tuple[str, ...] = ()

    def __init__(self, hidden_size: int, slope: float) -> None:
        super().__init__()
        self.guess = Linear(hidden_size, 1)
        self.slope = slope

    def forward(self, encoding: Encoding, targets: Targets) -> LogitsOutput:
        """Logits: (batch, 1)."""
        return LogitsOutput(logits=self.slope * self.guess(encoding.first_tokens))


class AutoModelForLengthGuess(AutoModel):
    """Loads the head above."""

    heads = ("length_guess",)


def read_toy(path: Path) -> dict[str, Tensor]:
    """All tensors of a .toy file."""
    try:
        content = json.loads(path.read_text())
        return {name: torch.tensor(values, dtype=torch.float32) for name, values in content.items()}
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not a toy file: {error}") from error


def write_toy(folder: Path, tensors: Mapping[str, Tensor]) -> list[Path]:
    """One JSON file of lists."""
    write_json(folder / "weights.toy", {name: tensor.tolist() for name, tensor in tensors.items()})
    return [folder / "weights.toy"]


TOY_FORMAT = Format(
    name="toy_json",
    find=lambda folder: sorted(folder.glob("*.toy")),
    accepts=lambda path: path.suffix == ".toy",
    read=read_toy,
    write=write_toy,
)

TOY_TABLE = NameMap(
    name="toy-names",
    families=("toy",),
    parts={
        "backbone": (
            *embeddings({"embeddings.word": "words", "embeddings.position": "places"}, weight=""),
            *norms({"embeddings.norm": "start"}),
            *norms({"blocks.{n}.attention_norm": "step{n}.a", "blocks.{n}.feed_forward_norm": "step{n}.f"}),
            *linears(
                {
                    "blocks.{n}.attention.query": "step{n}.q",
                    "blocks.{n}.attention.key": "step{n}.k",
                    "blocks.{n}.attention.value": "step{n}.v",
                    "blocks.{n}.attention.output": "step{n}.o",
                    "blocks.{n}.feed_forward.up": "step{n}.up",
                    "blocks.{n}.feed_forward.down": "step{n}.down",
                },
                transforms=(TRANSPOSE,),
            ),
        ),
    },
    prefixes=("toy/", ""),
    layouts=("toy-files", "huggingface"),
)

TOY_TARGET = Target(
    format="toy_json",
    config_file="config.json",
    prefix=lambda table, model_type, has_head: table.prefixes[0],
    write_config=write_config,
)


class CountingRunner:
    """A backend that wants rectangles and counts its batches."""

    takes_packed = False

    def __init__(self, inner: TorchRunner) -> None:
        self.inner, self.config, self.batches = inner, inner.config, 0

    def run(self, batch: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """See Runner.run."""
        self.batches += 1
        return self.inner.run({name: array for name, array in batch.items() if name != "token_type_ids"})


class ParrotReading:
    """Remembers the last tokens, and thinks that they come again."""

    def __init__(self, words: int) -> None:
        self.words = words

    def read(
        self, ids: Tensor, live: Tensor | None = None, types: Tensor | None = None, prefix: Tensor | None = None
    ) -> Tensor:
        """See plm.heads.engine.Reading."""
        return nn.functional.one_hot(ids[:, -1], self.words).float()

    def select(self, rows: Tensor) -> None:
        """Nothing is kept that has rows."""


class ParrotEngine:
    """Says a prompt's last word until it is stopped."""

    device = torch.device("cpu")
    positions = 20

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    def begin(self, capacity: int) -> ParrotReading:
        """See plm.heads.engine.CausalEngine."""
        return ParrotReading(self.config.vocab_size)


def load_parrot(folder: Path, dtype: str) -> ParrotEngine:
    """Any checkpoint."""
    return ParrotEngine(load_model(folder)[0].config)


def load_counting(folder: Path, head: str | None, dtype: str) -> CountingRunner:
    """Any checkpoint."""
    return CountingRunner(TorchRunner(load_model(folder, heads=() if head is None else (head,))[0]))


REGISTRIES: tuple[Registry[Any], ...] = (FAMILIES, HEADS, CONFIG_KEYS, FORMATS, MAPS, TARGETS, BACKENDS, TASKS)


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything above, registered with the calls that plm itself uses, for one test."""
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_values", dict(registry.items()))
    FAMILIES.add("toy", Family(config=ToyConfig, build=build_toy, heads=("length_guess",)))
    HEADS.add(
        "length_guess",
        HeadSpec(
            build=lambda config: LengthGuess(config.hidden_size, getattr(config, "slope", 1.0)),
            needs_pooler=never,
            parts=(("", "length_guess"),),
            architecture="ForLengthGuess",
        ),
    )
    CONFIG_KEYS.add("toy", ConfigKeys(names={"hidden_size": "d_model"}))
    FORMATS.add("toy_json", TOY_FORMAT)
    MAPS.add("toy-names", TOY_TABLE)
    TARGETS.add("toy-files", TOY_TARGET)
    BACKENDS.add("counting", Backend(load=load_counting, causal=load_parrot))
    TASKS.add("guess-length", Task(head="length_guess", field="logits", by_token=False, answer=lambda row, _: row[0]))


def widen_bert() -> None:
    """Let BERT have the head, too."""
    family = FAMILIES.remove("bert")
    FAMILIES.add("bert", dataclasses.replace(family, heads=(*family.heads, "length_guess")))


def toy_model() -> Any:
    config = ToyConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=20,
        slope=3.0,
    )
    return randomized(AutoModelForLengthGuess.from_config(config)).eval()


# ---- what then works


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize("layout", ["toy-files", "huggingface"])
def test_a_foreign_model_is_saved_loaded_and_asked_like_any_other(layout: str, tmp_path: Path) -> None:
    model = toy_model()
    model.save_pretrained(tmp_path, layout=layout)
    assert (tmp_path / "weights.toy").exists() == (layout == "toy-files")
    content = read_json(tmp_path / "config.json")
    assert (content["model_type"], content["architectures"], content["d_model"]) == ("toy", ["ToyForLengthGuess"], 8)
    again = AutoModelForLengthGuess.from_pretrained(tmp_path)
    assert_same_parameters(model, again)
    assert again.config == model.config == plm.AutoConfig.from_pretrained(tmp_path)
    assert again.loaded is not None
    assert (again.loaded.layout, again.loaded.missing, again.loaded.unused) == ("toy-names", (), ())
    assert list(load_model(tmp_path)[0].heads) == ["length_guess"]
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    texts = ["the good book", "bad", "the old film was slow"]
    asked = plm.pipeline("guess-length", tmp_path, backend="counting", tokens_per_batch=5)
    answers = asked(texts)
    assert isinstance(asked.runner, CountingRunner)
    assert asked.runner.batches == 3
    tokenizer = plm.AutoTokenizer.from_pretrained(tmp_path)
    for text, answer in zip(texts, answers, strict=True):
        assert_close(answer, again(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, 0])


@pytest.mark.usefixtures("third_party")
def test_a_foreign_backend_is_asked_wherever_ours_are(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "reviews", "bert", "sequence_classification")
    model = plm.AutoModelForSequenceClassification.from_pretrained(folder, backend="counting")
    assert isinstance(model, BackendModel)
    assert isinstance(model.runner, CountingRunner)
    expected = plm.AutoModelForSequenceClassification.from_pretrained(folder)
    ids = random_ids(2, 5)
    assert_close(model(ids).logits, expected(ids).logits)
    assert model.runner.batches == 1
    classify = plm.pipeline("text-classification", folder, backend="counting")
    served = open_folder(folder, backend="counting")
    [answer] = served.doors["classify"].work(["the good film"])
    assert answer["label"] == classify("the good film")[0]["label"]


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize("settings", [{}, {"num_beams": 2}, {"overflow": "slide", "max_new_tokens": 40}])
def test_a_foreign_backend_goes_on_with_texts(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "openai-gpt", "causal_lm")
    config = plm.GenerationConfig(**{"max_new_tokens": 3, **settings})
    write = plm.pipeline("text-generation", folder, backend="counting")
    said = write("the good", config)[0][0]["text"].split()
    assert said == ["good"] * config.max_new_tokens
    writer = open_folder(folder, backend="counting").writer
    assert writer is not None
    assert writer.write(["the good"], config)[0][0]["text"].split() == said


@pytest.mark.usefixtures("third_party")
def test_the_tools_know_a_foreign_layout(tmp_path: Path) -> None:
    toy_model().save_pretrained(tmp_path / "first")
    report = convert(tmp_path / "first", tmp_path / "second", layout="toy-files", verify=True)
    assert report.comparison is not None
    assert report.comparison.is_equal


@pytest.mark.usefixtures("third_party")
def test_a_foreign_head_sits_on_our_families_too(tmp_path: Path) -> None:
    widen_bert()
    model = randomized(AutoModelForLengthGuess.from_config(tiny_model("bert").config)).eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForLengthGuess.from_pretrained(tmp_path)
    assert_same_parameters(model, again)
    ids = random_ids(2, 5)
    assert torch.equal(again(ids).logits, model(ids).logits)


@pytest.mark.usefixtures("third_party")
def test_damage_to_a_foreign_checkpoint_is_reported_as_to_ours(tmp_path: Path) -> None:
    toy_model().save_pretrained(tmp_path, layout="toy-files")
    content = read_json(tmp_path / "weights.toy")
    del content["toy/step1.q.weight"]
    write_json(tmp_path / "weights.toy", content)
    with pytest.raises(CheckpointError, match=r"1 backbone tensors are missing, first 'toy/step1\.q\.weight'"):
        AutoModelForLengthGuess.from_pretrained(tmp_path)
    (tmp_path / "weights.toy").write_text("{")
    with pytest.raises(CheckpointError, match="not a toy file"):
        AutoModelForLengthGuess.from_pretrained(tmp_path)


@pytest.mark.usefixtures("third_party")
def test_a_table_of_ours_can_be_widened(tmp_path: Path) -> None:
    widen_bert()
    ours = MAPS.remove("google-tf1")
    parts = {**ours.parts, "length_guess": linears({"guess": "guess/output"}, suffixes=("_weights", "_bias"))}
    MAPS.add("google-tf1", dataclasses.replace(ours, parts=parts))
    model = randomized(AutoModelForLengthGuess.from_config(tiny_model("bert").config)).eval()
    model.save_pretrained(tmp_path, layout="google-tf1")
    assert "guess/output_weights" in FORMATS.get("tf_checkpoint").read(tmp_path / "bert_model.ckpt")
    assert_same_parameters(model, AutoModelForLengthGuess.from_pretrained(tmp_path))


def test_nothing_of_it_stays_behind() -> None:
    for registry in REGISTRIES:
        assert not any("toy" in name or "guess" in name or name == "counting" for name in registry)
