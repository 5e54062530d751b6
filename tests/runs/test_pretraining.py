"""A pretraining learns from a corpus, in phases, from scratch or from a checkpoint, and leaves a folder to be used."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import plm
from plm.config import read_json
from plm.corpus.google import google_instances
from plm.corpus.google_records import write_pretraining_records
from plm.corpus.store import Corpus
from plm.errors import ConfigError, DataError, TrainingError
from plm.runs import run
from plm.runs.pretraining import pretrain
from plm.runs.pretraining_config import PretrainingConfig
from plm.training import Callback, Record, Run, TrainingReport
from tests.runs.tiny_corpora import tiny_corpus, tiny_tokenizer, write_corpus
from tests.tiny_folders import tiny_folder

SIZES = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
ARCHITECTURES: Mapping[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **SIZES, "max_position_embeddings": 48},
    "nezha": {"model_type": "nezha", **SIZES, "max_relative_position": 8},
    "gpt1": {"model_type": "openai-gpt", "n_embd": 24, "n_layer": 1, "n_head": 2, "n_positions": 48},
}
EXAMPLES: Mapping[str, dict[str, Any]] = {
    "bert": {"kind": "pairs"},
    "nezha": {"kind": "pairs", "masking": {"whole_words": True}},
    "gpt1": {"kind": "stretches"},
}
TIMED = ("seconds", "tokens_per_second")


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these trainings."""
    monkeypatch.setattr(run, "CurvePlot", lambda path: Callback())


@pytest.fixture(autouse=True)
def own_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of corpora: for each kind of vocabulary one to train on, and one held out."""
    folder = tmp_path_factory.mktemp("corpora")
    for kind in ("wordpiece", "bpe"):
        tokenizer = tiny_tokenizer(folder / kind, kind)
        tiny_corpus(folder / f"{kind}-train", tokenizer)
        tiny_corpus(folder / f"{kind}-dev", tokenizer, documents=20, seed=1)
    return folder


def phase(**changes: Any) -> dict[str, Any]:
    return {"max_length": 24, "batch_size": 16, "max_steps": 6, "learning_rate": 1e-2, "warmup_ratio": 0.1} | changes


def recipe(tmp_path: Path, corpora: Path, family: str = "bert", **changes: Any) -> dict[str, Any]:
    """A pretraining from scratch as nested tables; changes: of the tables on top, of [training] merged into it."""
    architecture = tmp_path / f"{family}.json"
    architecture.write_text(json.dumps(ARCHITECTURES[family]))
    kind = "bpe" if family == "gpt1" else "wordpiece"
    values: dict[str, Any] = {
        "model": str(architecture),
        "output_dir": str(tmp_path / "out"),
        "corpus": {"train": str(corpora / f"{kind}-train"), "dev": str(corpora / f"{kind}-dev")},
        "examples": EXAMPLES[family],
        "phases": [phase()],
    }
    return values | changes


def pretrained(values: dict[str, Any], *callbacks: Callback, overwrite: bool = False) -> Any:
    return pretrain(PretrainingConfig.from_dict(values), callbacks=callbacks, overwrite=overwrite)


def updates(report: TrainingReport) -> list[Record]:
    return [record for record in report.history if record.kind == "train"]


@pytest.mark.parametrize("family", list(ARCHITECTURES))
def test_every_family_learns_more_than_how_frequent_words_are(family: str, tmp_path: Path, corpora: Path) -> None:
    values = recipe(tmp_path, corpora, family, phases=[phase(max_steps=120)])
    metrics = pretrained(values).metrics
    words = "accuracy" if family == "gpt1" else "masked_lm_accuracy"
    assert metrics["unigram_loss"] == pytest.approx(math.log(15), abs=0.1)  # WORDS, all equally frequent
    assert metrics["unigram_accuracy"] < 0.15
    assert math.log(metrics["perplexity"]) < metrics["unigram_loss"] - 0.6
    assert metrics[words] > 0.4
    logged = [json.loads(line) for line in (tmp_path / "out" / "train_log.jsonl").read_text().splitlines()]
    first = next(entry for entry in logged if entry["kind"] == "train")
    loss = "masked_lm_loss" if family != "gpt1" else "loss"
    assert {loss, f"{loss}.accuracy", "grad_norm", "learning_rate", "tokens_per_second"} <= first.keys()


def test_the_folder_can_be_used_at_once(tmp_path: Path, corpora: Path) -> None:
    values = recipe(tmp_path, corpora)
    report = pretrained(values)
    folder = tmp_path / "out"
    names = {file.name for file in folder.iterdir()}
    assert names >= {"config.json", "model.safetensors", "vocab.txt", "report.md", "metrics.json", "run.json", "last"}
    assert "best" not in names
    config = plm.AutoConfig.from_pretrained(folder)
    assert config.vocab_size == len(Corpus.open(values["corpus"]["train"]).tokenizer)
    assert plm.AutoTokenizer.from_pretrained(folder).model_max_length == 48
    assert PretrainingConfig.from_dict(read_json(folder / "run.json")) == PretrainingConfig.from_dict(values)
    assert read_json(folder / "metrics.json")["metrics"] == report.metrics
    told = (folder / "report.md").read_text()
    assert "| best unigram_loss | 2.7" in told
    assert "TFLOP/s, on real tokens" in told


def test_transformers_opens_what_was_pretrained(tmp_path: Path, corpora: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pretrained(recipe(tmp_path, corpora))
    theirs = transformers.BertForPreTraining.from_pretrained(tmp_path / "out").eval()
    ours = plm.AutoModelForPreTraining.from_pretrained(tmp_path / "out")
    batch = plm.AutoTokenizer.from_pretrained(tmp_path / "out")("the good film", "was red", return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    with torch.no_grad():
        expected, got = theirs(**inputs), ours(**inputs)
    torch.testing.assert_close(got.prediction_logits, expected.prediction_logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.seq_relationship_logits, expected.seq_relationship_logits, atol=1e-5, rtol=0)


def test_each_phase_has_its_lengths_its_batches_and_its_learning_rates(tmp_path: Path, corpora: Path) -> None:
    second = phase(max_length=32, batch_size=4, max_steps=4, learning_rate=3e-3, warmup_ratio=0.5)
    values = recipe(tmp_path, corpora, phases=[phase(max_steps=5, warmup_ratio=0.0), second])
    values["training"] = {"log_every": 1, "gradient_accumulation_steps": 2}
    history = updates(pretrained(values).training)
    rates = [record.values["learning_rate"] for record in history]
    assert rates == pytest.approx([1e-2, 8e-3, 6e-3, 4e-3, 2e-3, 0.0, 1.5e-3, 3e-3, 1.5e-3])
    assert [record.epoch for record in history] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0])
    tokens = np.diff([0, *(record.tokens for record in history)])
    assert tokens[:5].min() > 2 * 16 * 10  # 32 pairs of up to 24 tokens
    assert tokens[5:].max() <= 2 * 4 * 32


def test_a_phase_may_have_other_batches_in_an_update(tmp_path: Path, corpora: Path) -> None:
    first, second = phase(max_steps=2), phase(max_steps=3, batch_size=4)
    values = recipe(tmp_path, corpora, phases=[first, {**second, "gradient_accumulation_steps": 3}])
    values["training"] = {"log_every": 1, "save_strategy": "epoch", "adam_epsilon": 1e-3}
    history = updates(pretrained(values).training)
    assert [record.epoch for record in history] == pytest.approx([0.5, 1.0, 4 / 3, 5 / 3, 2.0])
    assert np.diff([record.tokens for record in history])[1:].min() > 12 * 10  # 3 batches of 4 pairs
    values["training"] |= {"resume": "auto"}
    for changed in (second, {**second, "gradient_accumulation_steps": 2}):
        with pytest.raises(TrainingError, match="data: phase 2: batches in an update: 3 -> "):
            pretrained({**values, "phases": [first, changed]})


class Stop(Callback):
    """Sends this process SIGTERM after an update."""

    def __init__(self, update: int) -> None:
        self.update = update

    def on_step(self, run: Run, record: Record) -> None:
        if run.update == self.update:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("stop", [4, 5, 7])
def test_a_run_continued_before_at_and_after_a_switch_of_phases_ends_with_the_same_bits(
    stop: int, tmp_path: Path, corpora: Path
) -> None:
    phases = [phase(max_steps=5, tokens_per_batch=200), phase(max_length=32, max_steps=4, learning_rate=3e-3)]
    values = recipe(tmp_path, corpora, phases=phases)
    values["training"] = {"save_strategy": "steps", "save_steps": 3, "log_every": 2, "optimizer": "lamb"}
    values["log_to"] = ["jsonl"]
    pretrained({**values, "output_dir": str(tmp_path / "whole")})
    stopped = pretrained(values, Stop(stop))
    assert (stopped.training.stopped, stopped.training.updates) == ("terminated", stop)
    values["training"] = {**values["training"], "resume": "auto"}
    assert pretrained(values).training.stopped == "finished"
    for name in ("model.safetensors", "last/model.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    logs = [
        [
            {name: value for name, value in json.loads(line).items() if name not in TIMED}
            for line in (tmp_path / folder / "train_log.jsonl").read_text().splitlines()
        ]
        for folder in ("whole", "out")
    ]
    assert logs[0] == logs[1]


CONSTANT = {"lr_scheduler": "constant", "warmup_ratio": 0.0}


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ([phase(**CONSTANT)], [phase(max_steps=9, **CONSTANT)]),
        ([phase()], [phase(), phase(max_steps=4, max_length=32, learning_rate=2e-2, restarts_steps=True)]),
        (
            [phase(max_steps=4), phase(max_length=32, **CONSTANT)],
            [phase(max_steps=4), phase(max_length=32, max_steps=8, **CONSTANT), phase(max_steps=2, batch_size=4)],
        ),
    ],
    ids=["its last phase", "another phase", "both"],
)
def test_a_finished_run_made_longer_ends_with_the_bits_of_one_that_was_planned_so(
    short: list[dict[str, Any]], long: list[dict[str, Any]], tmp_path: Path, corpora: Path, caplog: Any
) -> None:
    values = recipe(tmp_path, corpora)
    values["training"] = {"save_strategy": "epoch", "log_every": 1, "optimizer": "lamb", "resume": "auto"}
    whole = pretrained({**values, "phases": long, "output_dir": str(tmp_path / "whole")})
    done = pretrained({**values, "phases": short}).training.updates
    assert not caplog.messages
    longer = pretrained({**values, "phases": long})
    assert longer.training.updates == whole.training.updates > done
    assert [
        line for line in caplog.messages if f"after {done} updates goes on as another (max_steps: {done} -> " in line
    ]
    for name in ("model.safetensors", "last/model.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(updates(longer.training)) == longer.training.updates


def test_the_rates_of_a_run_made_longer_follow_the_new_plan(tmp_path: Path, corpora: Path) -> None:
    values = recipe(tmp_path, corpora, phases=[phase(max_steps=4, warmup_ratio=0.0)])
    values["training"] = {"save_strategy": "epoch", "log_every": 1, "resume": "auto"}
    pretrained(values)
    longer = pretrained({**values, "phases": [phase(max_steps=8, warmup_ratio=0.0)]})
    rates = [record.values["learning_rate"] for record in updates(longer.training)]
    assert rates == pytest.approx([1e-2, 7.5e-3, 5e-3, 2.5e-3, 5e-3, 3.75e-3, 2.5e-3, 1.25e-3])


def test_of_phases_only_the_length_of_what_is_ahead_may_change(tmp_path: Path, corpora: Path) -> None:
    values = recipe(tmp_path, corpora, phases=[phase(max_steps=2), phase(max_steps=2)])
    values["training"] = {"save_strategy": "epoch", "resume": "auto"}
    pretrained(values)
    for phases, line in (
        ([phase(max_steps=3), phase(max_steps=2)], "phase 1: max_steps: 2 -> 3"),
        ([phase(max_steps=2), phase(max_steps=1)], "phase 2: max_steps: 2 -> 1"),
        ([phase(max_steps=2), phase(max_steps=3, learning_rate=2e-2)], "phase 2: learning_rate: 0.01 -> 0.02"),
        ([phase(max_steps=2), phase(max_steps=3, batch_size=4)], "data: phase 2: batches: "),
    ):
        with pytest.raises(TrainingError, match=f"another run; then -> now:\n  {line}(.|\n)*phases may be added"):
            pretrained({**values, "phases": phases})


def test_a_run_is_not_continued_with_other_examples_or_another_corpus(tmp_path: Path, corpora: Path) -> None:
    values = recipe(tmp_path, corpora, phases=[phase(max_steps=2)])
    values["training"] = {"save_strategy": "steps", "save_steps": 1, "resume": "auto"}
    pretrained(values)
    for changes in (
        {"examples": {"kind": "pairs", "short_probability": 0.5}},
        {"phases": [phase(max_steps=2, max_length=20)]},
        {"corpus": {**values["corpus"], "train": values["corpus"]["dev"]}},
        {"corpus": {**values["corpus"], "dev": values["corpus"]["train"]}},
        {"evaluation": {"max_batches": 1}},
    ):
        with pytest.raises(TrainingError, match="a checkpoint of another run; then -> now:\n  data: "):
            pretrained({**values, **changes})


def test_a_checkpoint_is_gone_on_with_under_its_own_vocabulary(tmp_path: Path, corpora: Path) -> None:
    values = recipe(tmp_path, corpora, phases=[phase(max_steps=80)])
    before = pretrained(values).metrics
    further = {**values, "model": str(tmp_path / "out"), "output_dir": str(tmp_path / "further")}
    further["phases"] = [phase(max_steps=10, learning_rate=1e-3)]
    report = pretrained(further)
    assert report.metrics["loss"] < before["loss"] + 0.1
    assert report.notes == ()
    assert updates(report.training)[0].values["masked_lm_loss"] < 0.85 * before["unigram_loss"]


def test_a_checkpoint_without_the_head_says_what_was_drawn_anew(tmp_path: Path, corpora: Path) -> None:
    start = tiny_folder(tmp_path / "start", "bert", "masked_lm")
    values = recipe(tmp_path, corpora, model=str(start), phases=[phase(max_steps=1)])
    (note,) = pretrained(values).notes
    assert note.startswith("the checkpoint lacks heads.pretraining.next_sentence.classifier.")


def test_a_checkpoint_of_another_vocabulary_is_refused_with_the_first_difference(tmp_path: Path, corpora: Path) -> None:
    start = tiny_folder(tmp_path / "start", "bert", "pretraining")
    tokens = (start / "vocab.txt").read_text().splitlines()
    changed = ["night" if token == "day" else "day" if token == "night" else token for token in tokens]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "vocab.txt").write_text("\n".join(changed) + "\n")
    other = plm.AutoTokenizer.from_pretrained(tmp_path / "other")
    corpus = tiny_corpus(tmp_path / "corpus", other)
    values = recipe(tmp_path, corpora, model=str(start), corpus={"train": str(corpus)})
    with pytest.raises(ConfigError, match=r"start: its vocabulary is not that .* id 13 is 'day' there and 'night' in"):
        pretrained(values)
    values = recipe(tmp_path, corpora, corpus={**recipe(tmp_path, corpora)["corpus"], "dev": str(corpus)})
    with pytest.raises(ConfigError, match=r"corpus.dev: .*: its vocabulary is not that of the training corpus"):
        pretrained(values)


def test_what_cannot_be_is_said_before_anything_is_written(tmp_path: Path, corpora: Path) -> None:
    pairs, stretches = {"kind": "pairs"}, {"kind": "stretches"}
    causal = recipe(tmp_path, corpora, "gpt1")
    for values, message in (
        ({**recipe(tmp_path, corpora), "examples": stretches}, "attention_pattern is 'full', .* has to be 'causal'"),
        ({**causal, "examples": pairs}, "openai-gpt has no head 'pretraining'"),
        ({**recipe(tmp_path, corpora), "phases": [phase(max_length=49)]}, "49 is more than the 48 tokens"),
        ({**recipe(tmp_path, corpora), "model": "bert-tinny.json"}, "did you mean 'bert-tiny.json'"),
        ({**recipe(tmp_path, corpora), "corpus": {"train": str(tmp_path)}}, "is no prepared corpus"),
        (
            {**recipe(tmp_path, corpora), "training": {"metric_for_best": "accuracy"}},
            "did you mean 'masked_lm_accuracy'",
        ),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            pretrained(values)
    assert not (tmp_path / "out").exists()


def test_batches_made_by_other_processes_are_the_same(tmp_path: Path, corpora: Path) -> None:
    for workers in (0, 2):
        values = recipe(tmp_path, corpora, output_dir=str(tmp_path / str(workers)), phases=[phase(), phase()])
        pretrained({**values, "training": {"batch_workers": workers}})
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("0", "2"))
    assert first == second


def test_two_processes_pretrain_what_one_does(tmp_path: Path, corpora: Path) -> None:
    training = {"gradient_accumulation_steps": 2, "log_every": 1, "adam_epsilon": 1e-3}
    second = phase(max_length=32, batch_size=4)
    values = recipe(tmp_path, corpora, phases=[phase(), second], training=training, device="cpu")
    (tmp_path / "recipe.json").write_text(json.dumps(values))
    script = tmp_path / "script.py"
    script.write_text("from plm.cli.pretrain import command\ncommand()\n")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    arguments = [str(tmp_path / "recipe.json"), "--set", f"output_dir={tmp_path / 'together'}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun, *arguments], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("dev masked_lm_accuracy") == 1  # only the first process tells
    pretrained(values)
    alone, both = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "together"))
    for name, tensor in alone.items():
        torch.testing.assert_close(both[name], tensor, atol=1e-5, rtol=0)
    logs = [
        [json.loads(line) for line in (tmp_path / name / "train_log.jsonl").read_text().splitlines()]
        for name in ("out", "together")
    ]
    for one, other in zip(*logs, strict=True):
        shared = {name: value for name, value in one.items() if name not in TIMED}
        assert {name: other[name] for name in shared} == pytest.approx(shared, abs=1e-4)


def test_without_a_dev_corpus_the_last_weights_count(tmp_path: Path, corpora: Path) -> None:
    values = recipe(tmp_path, corpora, corpus={"train": str(corpora / "wordpiece-train")})
    report = pretrained(values)
    assert report.metrics == {}
    assert plm.AutoModelForPreTraining.from_pretrained(tmp_path / "out") is not None


def test_held_out_examples_do_not_depend_on_the_seed_of_the_run(tmp_path: Path, corpora: Path) -> None:
    found = []
    for seed in (1, 2):
        values = recipe(tmp_path, corpora, output_dir=str(tmp_path / str(seed)), phases=[phase(max_steps=1)])
        found.append(pretrained({**values, "training": {"seed": seed}}).metrics)
    assert found[0]["unigram_loss"] == found[1]["unigram_loss"]
    assert found[0]["loss"] != found[1]["loss"]


def test_a_lost_run_is_stopped_and_says_why(tmp_path: Path, corpora: Path) -> None:
    values = recipe(tmp_path, corpora, phases=[phase(max_steps=200, learning_rate=3.0, warmup_ratio=0.5)])
    values["watch"] = {"window": 3, "patience": 5, "margin": 1.0}
    values["training"] = {"save_strategy": "steps", "save_steps": 500, "weight_decay": 0.0}
    report = pretrained(values)
    assert report.training.stopped == "diverged"
    assert report.training.updates < 200
    assert "above its lowest mean" in report.notes[0]
    assert list((tmp_path / "out" / "checkpoints").iterdir())


def test_a_corpus_of_one_document_cannot_give_random_next_sentences(tmp_path: Path, corpora: Path) -> None:
    whole = Corpus.open(corpora / "wordpiece-train")
    one = write_corpus(tmp_path / "one", Corpus.of([whole.document(0)], whole.tokenizer))
    with pytest.raises(DataError, match="another document, and there is only one"):
        pretrained(recipe(tmp_path, corpora, corpus={"train": str(one)}))


def records(path: Path, corpora: Path) -> None:
    """The examples that Google's script would make of a corpus."""
    corpus = Corpus.open(corpora / "wordpiece-train")
    documents = [corpus.document(number) for number in range(len(corpus))]
    words = corpus.tokenizer.convert_ids_to_tokens(list(range(len(corpus.tokenizer))))
    sizes = {"max_seq_length": 24, "max_predictions_per_seq": 4}
    made = google_instances(documents, words=words, dupe_factor=2, **sizes)
    write_pretraining_records([path], made, **sizes)


def test_records_that_were_made_elsewhere_are_trained_on_as_they_are(tmp_path: Path, corpora: Path) -> None:
    records(tmp_path / "a.tfrecord", corpora)
    files = {"train": str(tmp_path / "*.tfrecord"), "dev": str(tmp_path / "a.tfrecord")}
    own = {"corpus": files, "examples": {"kind": "records", "tokenizer": str(corpora / "wordpiece")}}
    metrics = pretrained(recipe(tmp_path, corpora, phases=[phase(max_steps=60)], **own)).metrics
    assert metrics["masked_lm_loss"] < metrics["unigram_loss"]
    assert metrics["unigram_loss"] == pytest.approx(math.log(15), abs=0.2)
    assert len(list((tmp_path / "cache" / "plm" / "records").iterdir())) == 1
    short = recipe(tmp_path, corpora, phases=[phase(max_length=16)], **own, output_dir=str(tmp_path / "short"))
    with pytest.raises(DataError, match="the longest of the records has 24 tokens, got 16"):
        pretrained(short)
