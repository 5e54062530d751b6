"""Checkpoints written by the original frameworks give the original outputs, and hostile ones do no harm.

Looks at every folder below the path in PLM_CHECKPOINTS; by default the larger collection beside the repository where
there is one, else the copies in tests/golden.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import plm
from plm.checkpoints.formats import find_weights
from plm.checkpoints.loading import load_model
from plm.checkpoints.saving import TARGETS, model_tensors
from plm.heads.model import Model
from tests.checkpoints.golden_fields import Case, compute
from tests.golden_files import checkpoints_root

ROOT = checkpoints_root()
FOLDERS = sorted(path.parent for path in ROOT.glob("*/golden.npz"))
ADVERSARIAL = json.loads((ROOT / "adversarial/cases.json").read_text()) if (ROOT / "adversarial").is_dir() else []
TOLERANCE = 2e-5


def load(folder: Path, entry: Path | None = None) -> Model:
    return load_model(entry or folder, heads=tagger_heads(folder))[0]


def tagger_heads(folder: Path) -> tuple[str, ...] | None:
    """MindSpore calls the weights of a tagger and of a classifier the same: only the outputs tell them apart."""
    with np.load(folder / "golden.npz", allow_pickle=False) as golden:
        tokens = golden["input_ids"].size if "input_ids" in golden else 0
        is_tagger = "log_probs" in golden and len(golden["log_probs"]) == tokens
    return ("token_classification",) if is_tagger else None


def entries(folder: Path) -> list[Path]:
    container, _ = find_weights(folder)
    return container.find(folder)


CASES = [
    pytest.param(folder, entry, id=f"{folder.name}-{entry.name}") for folder in FOLDERS for entry in entries(folder)
]


@pytest.mark.parametrize(("folder", "entry"), CASES)
def test_outputs_equal_those_of_the_original_framework(folder: Path, entry: Path) -> None:
    with np.load(folder / "golden.npz", allow_pickle=False) as file:
        golden = dict(file)
    case = Case(load(folder, entry), golden)
    compared = 0
    for field in golden:
        pair = compute(case, field)
        if pair is not None:
            ours, theirs = pair
            assert ours.shape == theirs.shape, f"{field}: {ours.shape} against {theirs.shape}"
            worst = float(np.abs(ours - theirs).max())
            assert worst <= TOLERANCE, f"{field}: differs by {worst:.2e}"
            compared += 1
    assert compared, "the golden file holds nothing to compare"


@pytest.mark.parametrize(("folder", "entry"), [c for c in CASES if (c.values[0] / "expected_tensors.json").is_file()])
def test_tensors_equal_those_of_the_original_framework(folder: Path, entry: Path) -> None:
    expected = json.loads((folder / "expected_tensors.json").read_text())
    model = load(folder, entry)
    tensors = model_tensors(model, TARGETS.get("huggingface"), "huggingface")
    ours = {name.split(".", 1)[1] if name.startswith(("nezha.", "bert.")) else name: t for name, t in tensors.items()}
    embeddings = next(t for name, t in ours.items() if name.endswith(("word_embeddings.weight", "tokens_embed.weight")))
    for name, facts in expected.items():
        short = name.split(".", 1)[1] if name.startswith(("nezha.", "bert.")) else name
        tensor = ours.get(short)
        if tensor is None and short.endswith(("decoder.weight", "lm_head.weight")):
            tensor = embeddings
        if tensor is None and short.endswith("decoder.bias"):
            tensor = ours["cls.predictions.bias"]
        assert tensor is not None, f"{name} is not in the model"
        check_facts(name, tensor, facts)


def check_facts(name: str, tensor: torch.Tensor, facts: dict[str, object]) -> None:
    """Shape, sums, first and last value: what a lost transpose or a swapped tensor changes."""
    flat = tensor.contiguous().flatten().double()
    ramp = (flat * torch.arange(1, len(flat) + 1) / len(flat)).sum()
    assert list(tensor.shape) == facts["shape"], name
    for key, value in {"sum": flat.sum(), "abs_sum": flat.abs().sum(), "ramp": ramp}.items():
        assert float(value) == pytest.approx(facts[key], rel=1e-5, abs=1e-4), f"{name}: {key}"
    assert float(flat[0]) == pytest.approx(facts["first"], abs=1e-6), name
    assert float(flat[-1]) == pytest.approx(facts["last"], abs=1e-6), name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_source_tensor_is_used_or_named(folder: Path) -> None:
    report = load_model(folder)[1]
    assert not report.missing, report
    known = {"some_other_head.weight", "optimizer.step"}  # put there by the fixture to be reported
    assert set(report.unused) <= known, report


@pytest.mark.parametrize("case", ADVERSARIAL, ids=lambda case: case["name"])
def test_hostile_and_damaged_files_are_refused(
    case: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "a" / "b"
    shutil.copytree(ROOT / "adversarial", root)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    folder, started = root / case["name"], time.process_time()
    caught: Exception | None = None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            model = plm.AutoModelForSequenceClassification.from_pretrained(folder)
            tokenizer = plm.AutoTokenizer.from_pretrained(folder) if (folder / "vocab.txt").is_file() else None
        except plm.PlmError as error:
            caught = error
    assert time.process_time() - started < 5, "refusing took long"
    markers = list(tmp_path.rglob("PLM_ADVERSARIAL_*"))
    assert not markers, f"code of the file was run: {markers}"
    expect = case["expect"]
    if expect.startswith("loads"):
        assert caught is None, caught
        vocabulary = tokenizer.get_vocab()
        assert vocabulary["[PAD]"] == 0
        assert not any("\r" in token or "\ufeff" in token for token in vocabulary)
        assert model.loaded is not None
    elif "warning" in expect and caught is None:
        check_duplicates(case["name"], folder, tokenizer, warned)
    else:
        assert caught is not None, "expected an error"
        check_message(case["name"], str(caught))


def check_duplicates(name: str, folder: Path, tokenizer: plm.tokenizers.Tokenizer, warned: list[object]) -> None:
    """A vocabulary with a duplicate line may load if it says so and all other ids stay line numbers."""
    assert name == "vocab_duplicate_lines"
    assert tokenizer.notes or warned
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = tokenizer.get_vocab()
    for number, line in enumerate(lines):
        if line and lines.count(line) == 1:
            assert vocabulary[line] == number


MUST_NAME = {
    "config_wrong_types": ["hidden_size"],
    "config_missing_fields": ["hidden_size", "vocab_size"],
    "config_unknown_model_type": ["bert2000", "nezha", "tinybert", "openai-gpt"],
    "config_negative_size": ["num_hidden_layers"],
    "config_heads_not_dividing": ["hidden_size", "num_attention_heads"],
    "weights_shape_mismatch": ["query.weight", "8", "9"],
    "weights_nan": ["word_embeddings"],
}


def check_message(name: str, message: str) -> None:
    for word in MUST_NAME.get(name, []):
        assert word in message, f"{word!r} is not in the message: {message}"


def test_the_collection_is_not_empty() -> None:
    assert len(FOLDERS) >= 10
    assert os.environ.get("PLM_CHECKPOINTS") is None or Path(os.environ["PLM_CHECKPOINTS"]) == ROOT
