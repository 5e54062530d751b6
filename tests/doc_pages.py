"""Running the Python of a page: tiny stand-ins for the models, files and names that its blocks take for granted.

The blocks of a page run one after the other, as a reader would type them, in a folder where every model that pages
name is there: tiny, with random weights. What would take long or reach another machine is replaced, word by word, by
REPLACED. The texts were made up for these tests.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import plm
from plm.data import pad_sequences
from plm.heads.several import HeadPlan
from plm.models.families import FAMILIES
from plm.poetry import FORMS
from plm.registry import Registry
from plm.runs import RunConfig, train
from plm.tokenizers import load_tokenizer
from tests.golden_files import REPOSITORY
from tests.runs.tiny_corpora import tiny_corpus, tiny_tokenizer
from tests.tiny_folders import WORDS, tiny_folder, write_rows

PAGES = sorted(
    [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "docs" / "reference").glob("*.md")]
)

# Blocks that are not run: page and a word of the block -> why not.
NOT_RUN: dict[tuple[str, str], str] = {
    ("preparing_a_corpus.md", "ray_engine"): "wants a Ray cluster; tests/corpus/test_ray_engine.py starts one",
}

# What blocks say -> what is run in its place.
REPLACED: dict[str, dict[str, str]] = {
    "poet.md": {"range(100)": "range(2)"},
    "preparing_a_corpus.md": {
        "workers=4": "workers=1",
        "epoch(3)[100]": "epoch(3)[0]",
        '["a.tfrecord", "b.tfrecord"]': '["a.tfrecord"]',
    },
}

SMALL = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20}
LONG = {"max_position_embeddings": 160}
MOODS = {"id2label": {0: "bad", 1: "good"}}

# Folders that pages name, as if they were there: family, head, fields of the config.
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "reviews": ("bert", "sequence_classification", MOODS | LONG),
    "runs/reviews": ("bert", "sequence_classification", MOODS | LONG),
    "mine": ("bert", "sequence_classification", MOODS | LONG),
    "folder": ("bert", "masked_lm", LONG),
    "folder-or-hub-name": ("bert", "masked_lm", LONG),
    "runs/bert-small": ("bert", "masked_lm", LONG),
    "bert-base-uncased": ("bert", "pretraining", LONG),
    "bert-base-chinese": ("bert", "masked_lm", LONG),
    "my-encoder": ("bert", "masked_lm", LONG),
    "my-causal-bert": ("bert", "causal_lm", LONG),
    "openai-gpt": ("openai-gpt", "causal_lm", LONG),
    "reader": ("bert", "question_answering", LONG),
}

Names = dict[str, Any]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language ("" = none named)."""
    return [block for _, block in numbered_blocks(page, language)]


def numbered_blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The same, each after the number of its first line."""
    found: list[tuple[int, str]] = []
    inside: list[str] | None = None
    begun, wanted = 0, False
    for number, line in enumerate(page.read_text(encoding="utf-8").split("\n"), 1):
        if line.startswith("```"):
            if inside is None:
                inside, begun, wanted = [], number + 1, line[3:].strip() == language
            else:
                found += [(begun, "\n".join(inside))] if wanted else []
                inside = None
        elif inside is not None:
            inside.append(line)
    return found


def reason_not_to_run(page: Path, block: str) -> str | None:
    """Why a block is left out, or None."""
    return next((why for (name, word), why in NOT_RUN.items() if name == page.name and word in block), None)


def run_page(page: Path, folder: Path) -> None:
    """Run the Python blocks of a page in a folder, which has what they name. An error is raised as it is."""
    names: Names = {"__name__": "__main__", "plm": plm, "torch": torch}
    with ExitStack() as stack:
        stack.enter_context(inside(folder))
        for registry in (FAMILIES, FORMS):
            stack.enter_context(unchanged(registry))
        names |= stack.enter_context(SCENES.get(page.name, _nothing)(folder))
        for number, block in numbered_blocks(page, "python"):
            if reason_not_to_run(page, block) is None:
                # Empty lines in front, so that a traceback names the line of the page.
                source = "\n" * (number - 1) + replaced(page, block, names)
                exec(compile(source, str(page), "exec", dont_inherit=True), names)


def replaced(page: Path, block: str, names: Mapping[str, Any]) -> str:
    """A block as it is run."""
    for said, run in (REPLACED.get(page.name, {}) | names.get("replaced", {})).items():
        block = block.replace(said, run)
    return block


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """The working directory is another one for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def unchanged(registry: Registry[Any]) -> Iterator[None]:
    """What is added meanwhile goes again."""
    before = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - before:
            registry.remove(name)


def prepare_folder(folder: Path) -> Path:
    """Everything in MODELS, a tagger that was trained, and files of texts."""
    for name, (family, head, changes) in MODELS.items():
        tiny_folder(folder / name, family, head, **changes)
    rows = [("text", "label"), *((f"a {word} film", word) for word in ("good", "bad") for _ in range(6))]
    for name in ("train.tsv", "dev.tsv"):
        write_rows(folder / name, rows)
    (folder / "test.conll").write_text("the O\nold B-X\nbooks I-X\n\nsun B-Y\nwas O\n")
    task = {"kind": "tagging", "train": str(folder / "test.conll"), "dev": str(folder / "test.conll")}
    _train(folder, "tagger", {"task": task})
    text = "\n\n".join(f"The {word} was {other}. It was not {word}." for word in WORDS for other in WORDS[:2]) + "\n"
    for name in ("books.txt", "sample_text.txt"):
        (folder / name).write_text(text)
    return folder


def _train(folder: Path, name: str, values: dict[str, Any]) -> None:
    run = {"model": str(folder / "folder"), "output_dir": str(folder / name), "device": "cpu", "log_to": ["jsonl"]}
    train(RunConfig.from_dict(run | values | {"training": {"num_train_epochs": 1}}))


@dataclass
class FewBatches:
    """The same batches in every epoch."""

    batches: list[dict[str, Tensor]]

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, number: int) -> list[dict[str, Tensor]]:
        """All of them."""
        return self.batches


def _batch(*, labels: bool = False) -> dict[str, Tensor]:
    ids = pad_sequences([[2, 5, 6, 3], [2, 7, 3]], value=0)
    return {"input_ids": ids, "attention_mask": (ids > 0).long()} | ({"labels": torch.tensor([0, 1])} if labels else {})


def _nothing(folder: Path) -> Any:
    return nullcontext({})


def _fine_tuning(folder: Path) -> Any:
    shutil.rmtree(folder / "reviews")  # the page makes it
    return nullcontext({})


def _layouts_and_taps(folder: Path) -> Any:
    tiny_folder(folder / "large", "bert", "masked_lm", vocab_size=3000, num_hidden_layers=4)
    return nullcontext({"model": plm.AutoModel.from_pretrained("large"), "batch": _batch()})


def _models(folder: Path) -> Any:
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    model = plm.AutoModelForCausalLM.from_pretrained("openai-gpt")
    return nullcontext({"model": model, "prompt_ids": ids, "next_ids": ids[:, :1]})


def _multi_task(folder: Path) -> Any:
    plans = {"intent": HeadPlan("sequence_classification"), "slots": HeadPlan("token_classification")}
    plm.AutoModelForTasks.from_pretrained("folder", heads=plans).save_pretrained("runs/atis")
    return nullcontext({"batch": _batch()})


def _tokenizers(folder: Path) -> Any:
    model = plm.AutoModel.from_pretrained("folder")
    return nullcontext(
        {
            "model": model,
            "embeddings": model.backbone.embeddings.word,
            "texts": ["the good film", "the book"],
            "corpus": ["the good film"] * 6,
        }
    )


def _preparing_a_corpus(folder: Path) -> Any:
    return nullcontext({"tokenizer": load_tokenizer(folder / "folder"), "lines": ["the old book", "the red sun"]})


def _pretraining(folder: Path) -> Any:
    tiny_corpus(folder / "corpus", tiny_tokenizer(folder / "words"), documents=9)
    (folder / "small.json").write_text(json.dumps({"model_type": "bert", **SMALL}))
    phase = "max_length = 16\nbatch_size = 4\nmax_steps = 2\nlearning_rate = 1e-3\n"
    (folder / "recipe.toml").write_text(
        'model = "small.json"\noutput_dir = "out"\nlog_to = ["jsonl"]\n[corpus]\ntrain = "corpus"\ndev = "corpus"\n'
        f'[examples]\nkind = "pairs"\n[[phases]]\n{phase}'
    )
    return nullcontext({})


def _tinybert(folder: Path) -> Any:
    student = {"model_type": "tinybert", **SMALL, "num_hidden_layers": 1, "max_position_embeddings": 160}
    (folder / "student.json").write_text(json.dumps(student))
    (folder / "recipe.toml").write_text(
        'teacher = "reviews"\nstudent = "student.json"\noutput_dir = "out"\nlog_to = ["jsonl"]\n'
        '[task]\nkind = "classification"\ntrain = "train.tsv"\ndev = "dev.tsv"\nmax_length = 16\n'
        '[intermediate]\nnum_train_epochs = 1\nobjective.layers = "top"\n[prediction]\nnum_train_epochs = 1\n'
        "[latency]\nrepetitions = 1\n"
    )
    names = {name: plm.AutoModelForSequenceClassification.from_pretrained("reviews") for name in ("student", "teacher")}
    return nullcontext(names | {"batches": FewBatches([_batch(labels=True)])})


def _training_runs(folder: Path) -> Any:
    model = plm.AutoModelForSequenceClassification.from_pretrained("reviews")
    return nullcontext(
        {"model": model, "batches": FewBatches([_batch(labels=True)]), "evaluate": lambda model: {"x": 1.0}}
    )


@contextmanager
def _serving(folder: Path) -> Iterator[Names]:
    from tests.serving.running import serving  # it skips the test where the extra "serve" is missing

    with serving({"reviews": "reviews", "stories": "openai-gpt"}) as running:
        yield {"replaced": {"http://127.0.0.1:8000": running.url}}


# What must be there before the blocks of a page, besides MODELS: the names that they use.
SCENES: dict[str, Callable[[Path], Any]] = {
    "fine_tuning.md": _fine_tuning,
    "layouts_and_taps.md": _layouts_and_taps,
    "models.md": _models,
    "multi_task.md": _multi_task,
    "preparing_a_corpus.md": _preparing_a_corpus,
    "pretraining.md": _pretraining,
    "serving.md": _serving,
    "tinybert.md": _tinybert,
    "tokenizers.md": _tokenizers,
    "training_runs.md": _training_runs,
}
