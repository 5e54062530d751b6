"""Training a poet: from random weights, from any checkpoint, and further; dev poems are divided off by a hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import plm
from plm.config import write_json
from plm.data.division import is_held_out
from plm.errors import ConfigError, DataError
from plm.generation import Poet
from plm.poetry import PoemRequest
from plm.poetry.prompt import TYPES
from plm.runs import RunConfig, TaskData, train
from plm.runs.preparation import Prepared, starting_point
from plm.tasks import Classification, Poems
from plm.tasks.saving import load_tasks
from plm.training import TrainingConfig
from tests.tiny_folders import tiny_folder

PAIRS = ("山月", "江云", "风花", "秋雨", "春水", "夜雪", "寒灯", "远钟")
# Shape without sense: enough for a division, a vocabulary and a loss that falls.
POEMS = [f"{a}:{a}{b}明，{b}{a}清。{a}{a}{b[0]}，{b}{b}{a[0]}。" for a in PAIRS for b in PAIRS]


@pytest.fixture
def poems(tmp_path: Path) -> str:
    path = tmp_path / "poems.txt"
    path.write_text("\n".join(POEMS) + "\n", encoding="utf-8")
    return str(path)


def architecture(folder: Path, family: str, **changes: Any) -> str:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 40}
    write_json(folder / "poet.json", {"model_type": family, **sizes, **changes})
    return str(folder / "poet.json")


def config(model: str, poems: str, folder: Path, *, task: Poems | None = None, **training: Any) -> RunConfig:
    return RunConfig(
        model=model,
        output_dir=str(folder / "out"),
        task=TaskData(task=task or Poems(min_count=1), train=poems, held_out=0.2, max_length=40),
        log_to=("jsonl",),
        training=TrainingConfig(learning_rate=1e-2, num_train_epochs=2, **training),
    )


def start(run: RunConfig) -> Any:
    assert run.task is not None
    return starting_point(run, {"task": Prepared.read(run.task).task})


@pytest.mark.parametrize("family", ["bert", "nezha"])
def test_a_poet_learns_from_random_weights_and_comes_back(family: str, poems: str, tmp_path: Path) -> None:
    report = train(config(architecture(tmp_path, family), poems, tmp_path))
    losses = [record.values["loss"] for record in report.training.history if record.kind == "evaluation"]
    assert losses[-1] < losses[0]
    assert report.metrics["loss"] == pytest.approx(min(losses))
    model = plm.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = plm.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.config.attention_pattern == "causal"
    assert (model.config.type_vocab_size, model.config.vocab_size) == (TYPES, len(tokenizer))
    saved = load_tasks(tmp_path / "out")["task"].task
    assert isinstance(saved, Poems)
    assert saved.own_tokenizer(tokenizer) is tokenizer


def test_weights_follow_from_the_seed(poems: str, tmp_path: Path) -> None:
    run = config(architecture(tmp_path, "nezha"), poems, tmp_path)
    one, other = (start(run)[0].state_dict() for _ in range(2))
    assert all(one[name].equal(other[name]) for name in one)


def test_what_was_learned_stands_beside_the_poet_that_learned_it(poems: str, tmp_path: Path) -> None:
    run = config(architecture(tmp_path, "nezha"), poems, tmp_path, max_steps=1)
    train(run)
    poet = Poet.from_pretrained(tmp_path / "out")
    splits = Prepared.read(run.task).splits if run.task else {}
    train_, dev = ({line for poem in splits[name].examples for line in poem.lines} for name in ("train", "dev"))
    assert poet.known is not None
    assert len(poet.known) == len(train_)
    assert all(line in poet.known for line in train_)
    assert not any(line in poet.known for line in dev - train_)
    (poem,) = poet.write(PoemRequest(mode="acrostic", text="山月", line_length=3, candidates=2))
    assert [line[0] for line in poem.lines] == ["山", "月"]


def test_a_checkpoint_keeps_the_rows_of_its_characters_and_segments(poems: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "bert", "bert", "masked_lm", max_position_embeddings=40)
    old, words = plm.AutoModelForMaskedLM.from_pretrained(folder), plm.AutoTokenizer.from_pretrained(folder)
    model, tokenizer, notes = start(config(str(folder), poems, tmp_path))
    bias, old_bias = model.heads["causal_lm"].language_model.bias, old.heads["masked_lm"].language_model.bias
    for token in ("[CLS]", "[SEP]", "明", "月"):
        new_id, old_id = tokenizer.convert_tokens_to_ids(token), words.convert_tokens_to_ids(token)
        assert model.backbone.embeddings.word.weight[new_id].equal(old.backbone.embeddings.word.weight[old_id])
        assert bias[new_id] == old_bias[old_id]
    types, before = (one.backbone.embeddings.token_type.weight for one in (model, old))
    assert types[:2].equal(before)
    assert len(types) == TYPES
    assert model.config.attention_pattern == "causal"
    assert notes[-1].startswith("of the 27 tokens of the checkpoint 7 are kept")
    ids = torch.tensor([[2, 5, 3]])
    assert model(input_ids=ids, token_type_ids=torch.tensor([[0, 0, TYPES - 1]])).logits.shape[-1] == len(tokenizer)


def test_a_poet_goes_on_with_its_own_vocabulary(poems: str, tmp_path: Path) -> None:
    train(config(architecture(tmp_path, "nezha"), poems, tmp_path, max_steps=1))
    before = plm.AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    other = config(str(tmp_path / "out"), poems, tmp_path / "further", task=Poems(min_count=9))
    model, tokenizer, notes = start(other)
    assert all(before[name].equal(tensor) for name, tensor in model.state_dict().items())
    assert tokenizer.get_vocab() == plm.AutoTokenizer.from_pretrained(tmp_path / "out").get_vocab()
    assert notes == []


def test_poems_are_divided_by_what_they_are(poems: str, tmp_path: Path) -> None:
    data = TaskData(task=Poems(min_count=1), train=poems, held_out=0.2)
    splits = Prepared.read(data).splits
    train_, dev = ([poem.body for poem in splits[name].examples] for name in ("train", "dev"))
    assert not set(train_) & set(dev)
    assert sorted(train_ + dev) == sorted({line.partition(":")[2] for line in POEMS})
    assert all(is_held_out(body, 0.2) for body in dev)


def test_a_larger_share_holds_out_the_same_and_more() -> None:
    few, many = ({n for n in range(2000) if is_held_out(str(n), share)} for share in (0.1, 0.3))
    assert few < many
    assert len(few) == pytest.approx(200, abs=50)
    assert len(many) == pytest.approx(600, abs=70)


def test_a_division_that_cannot_be_is_refused(poems: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"held_out 1e-09 of 64 leaves no example to dev"):
        Prepared.read(TaskData(task=Poems(min_count=1), train=poems, held_out=1e-9))
    for wrong in ({"held_out": 1.5}, {"held_out": 0.1, "dev": poems}):
        with pytest.raises(ConfigError, match="held_out: expected a share"):
            TaskData(task=Poems(), train=poems, **wrong)  # type: ignore[arg-type]
    path = tmp_path / "texts.tsv"
    path.write_text("text\tlabel\ngood\ta\nbad\tb\n")
    with pytest.raises(ConfigError, match="Classification has no way to divide"):
        Prepared.read(TaskData(task=Classification(), train=str(path), held_out=0.5))


def test_random_weights_are_for_tasks_with_a_vocabulary_of_their_own(poems: str, tmp_path: Path) -> None:
    run = RunConfig(
        model=architecture(tmp_path, "bert"),
        output_dir=str(tmp_path / "out"),
        task=TaskData(task=Classification(labels=("a", "b")), train=poems, dev=poems),
    )
    with pytest.raises(ConfigError, match="random weights, with which only a single task"):
        starting_point(run, {"task": Classification(labels=("a", "b"))})


def test_a_model_without_segments_is_refused(poems: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "gpt1", "openai-gpt")
    with pytest.raises(ConfigError, match=r"52 token types: openai-gpt has 0"):
        start(config(str(folder), poems, tmp_path))
