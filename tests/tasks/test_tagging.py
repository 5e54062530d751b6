"""From files of words to entities with their places in the text, through any tokenizer, window and decoder."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from plm.checkpoints.loading import load_model
from plm.config import from_dict, to_dict
from plm.data.cache import cached
from plm.data.conll import TaggedText
from plm.data.features.tagging import TagFeature
from plm.data.tag_schemes import convert_tags
from plm.errors import ConfigError, DataError
from plm.heads.head import HEADS
from plm.heads.model import Model
from plm.heads.output import LogitsOutput
from plm.heads.token_classification import CrfOutput
from plm.runs import read_run
from plm.tasks.tag_decoding import FoundEntity, Tagged
from plm.tasks.tagging import Tagging
from plm.tasks.task import TASKS
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.shared_data import shared_data
from tests.tiny_folders import tiny_folder

RECIPES = Path(str(resources.files("plm.configs"))) / "runs" / "tagging"

# IOB1: "old book" and "book" are neighbours of one type.
FILE = "the O\nold I-X\nbooks I-X\nbook B-X\n\nsun I-Y\nwas O\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("tagger"), "bert")


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return load_tokenizer(folder)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "train.txt"
    path.write_text(FILE)
    return path


def learned(path: Path, **options: Any) -> tuple[Tagging, list[TaggedText]]:
    task = Tagging(**options)
    examples = task.read(path)
    return task.learned(examples, source=path.name), examples


def saying(task: Tagging, features: list[TagFeature], wanted: dict[int, list[str]]) -> dict[int, Any]:
    """Results of a model that is sure of a tag for every word. wanted: tags by example."""
    results: dict[int, Any] = {}
    done = dict.fromkeys(wanted, 0)
    assert task.labels is not None
    for feature in features:
        batch = task.collate([feature], pad_token_id=0)
        logits = torch.zeros(1, len(feature.input_ids), len(task.labels))
        for start in feature.bounds[:-1]:
            tag = wanted[feature.example][done[feature.example]]
            logits[0, start, task.labels.index(tag)] = 5.0
            done[feature.example] += 1
        results |= task.results(batch, LogitsOutput(logits=logits))
    return results


def answer(task: Tagging, model: Model, examples: list[TaggedText], tokenizer: Tokenizer, length: int) -> list[Tagged]:
    features = task.encode(examples, tokenizer, max_length=length, has_labels=False)
    results: dict[int, Any] = {}
    for start in range(0, len(features), 2):
        batch = task.collate(features[start : start + 2], pad_token_id=0)
        output = model(**{name: tensor for name, tensor in batch.items() if name != "index"})
        results |= task.results(batch, output)
    return task.answers(examples, features, pickle.loads(pickle.dumps(results)))


def test_a_task_is_made_from_a_recipe_and_goes_back_into_one() -> None:
    task = from_dict(Tagging, {"scheme": "bioes", "labels": ["O", "S-A"], "decoder": "crf", "tag": "pos"})
    assert TASKS.get("tagging") is Tagging
    assert from_dict(Tagging, to_dict(task)) == task
    assert HEADS.get(task.head)
    assert HEADS.get(Tagging().head)
    with pytest.raises(ConfigError, match="'viterbi' is not one of 'softmax', 'crf'"):
        from_dict(Tagging, {"decoder": "viterbi"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": "crf", "label_all_pieces": True}, "not of pieces"),
        ({"decoder": "hmm"}, "decoder: 'hmm' is not one of"),
        ({"overlap": -1}, "overlap: expected 0 or more"),
        ({"scheme": "none", "learned_scheme": "bio"}, "tags without scheme"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Tagging(**options)


def test_iob1_is_learned_as_bio_and_answered_as_it_was(path: Path, tokenizer: Tokenizer) -> None:
    task, examples = learned(path)
    assert (task.scheme, task.labels) == ("iob1", ("O", "B-X", "I-X", "B-Y"))
    assert task.model_options() == {"id2label": {0: "O", 1: "B-X", 2: "I-X", 3: "B-Y"}}
    features = task.encode(examples, tokenizer, max_length=16)
    assert features[0].labels == [-100, 0, 1, 2, -100, 1, -100]  # [CLS] the old book ##s book [SEP]
    answers = task.answers(examples, features, saying(task, features, {0: ["O", "B-X", "I-X", "B-X"], 1: ["B-Y", "O"]}))
    assert [answer.tags for answer in answers] == [example.tags for example in examples]
    sure = pytest.approx(math.exp(5) / (math.exp(5) + 3))
    assert answers[0].entities == (
        FoundEntity("X", "old books", start=4, end=13, first=1, last=2, score=sure),
        FoundEntity("X", "book", start=14, end=18, first=3, last=3, score=sure),
    )
    assert answers[0].probabilities == (sure,) * 4
    assert task.score(examples, answers) == {
        "entity_f1": 1.0,
        "entity_precision": 1.0,
        "entity_recall": 1.0,
        "token_accuracy": 1.0,
        "sentence_accuracy": 1.0,
    }
    assert json.loads(json.dumps(task.record(examples[1], answers[1]))) == {
        "id": "6",
        "line": 6,
        "text": "sun was",
        "words": ["sun", "was"],
        "tags": ["I-Y", "O"],
        "predicted": ["I-Y", "O"],
        "entities": [{"type": "Y", "text": "sun", "start": 0, "end": 3, "score": sure}],
    }


def test_entities_and_words_are_scored_apart(path: Path, tokenizer: Tokenizer) -> None:
    """By hand: of two entities in the first sentence one is cut short; the one of the second is missed."""
    task, examples = learned(path)
    features = task.encode(examples, tokenizer, max_length=16)
    said = saying(task, features, {0: ["O", "B-X", "O", "B-X"], 1: ["O", "O"]})
    scores = task.score(examples, task.answers(examples, features, said))
    assert next(iter(scores)) == "entity_f1"
    assert scores == {
        "entity_f1": pytest.approx(2 / 5),
        "entity_precision": 1 / 2,
        "entity_recall": pytest.approx(1 / 3),
        "token_accuracy": pytest.approx(3 / 6),  # the last word is an entity's first now, and I-X in IOB1
        "sentence_accuracy": 0.0,
    }


def test_any_scheme_can_be_learned(path: Path) -> None:
    task, examples = learned(path, learned_scheme="bioes")
    assert task.labels == ("O", "B-X", "E-X", "S-X", "S-Y")
    assert task._classes(examples, "") == [[0, 1, 2, 3], [4, 0]]


def test_tags_without_scheme_are_judged_by_words(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "pos.txt").write_text("the DT\nsun NN\n\nday NN\n")
    task, examples = learned(tmp_path / "pos.txt")
    assert (task.scheme, task.labels) == ("none", ("DT", "NN"))
    features = task.encode(examples, tokenizer, max_length=16)
    answers = task.answers(examples, features, saying(task, features, {0: ["DT", "DT"], 1: ["NN"]}))
    assert (answers[0].tags, answers[0].entities) == (("DT", "DT"), ())
    assert task.score(examples, answers) == {"token_accuracy": pytest.approx(2 / 3), "sentence_accuracy": 0.5}


def test_plain_tags_are_entities_when_told_so(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "a.txt").write_text("the O\nold X\nsun X\n")
    task, examples = learned(tmp_path / "a.txt", scheme="plain")
    features = task.encode(examples, tokenizer, max_length=16)
    (only,) = task.answers(examples, features, saying(task, features, {0: ["O", "X", "X"]}))
    assert [entity.text for entity in only.entities] == ["old sun"]


def test_what_stands_between_words_is_learned_from_the_training_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("明 B-X\n月 I-X\n\n光 O\n")
    (tmp_path / "b.txt").write_text("OK O\nday O\n")
    task, _ = learned(tmp_path / "a.txt")
    assert task.joiner == ""
    assert task.read(tmp_path / "b.txt")[0].text == "OKday"


def test_sequences_that_the_scheme_does_not_know_are_decided_for_only_when_allowed(
    path: Path, tokenizer: Tokenizer
) -> None:
    task, examples = learned(path)
    features = task.encode(examples, tokenizer, max_length=16)
    said = saying(task, features, {0: ["I-X", "O", "I-X", "O"], 1: ["O", "O"]})
    free = dataclasses.replace(task, constrained=False, scheme="bio").answers(examples, features, said)
    assert free[0].tags == ("I-X", "O", "I-X", "O")
    assert [(entity.first, entity.last) for entity in free[0].entities] == [(0, 0), (2, 2)]  # read as conlleval does
    bound = dataclasses.replace(task, scheme="bio").answers(examples, features, said)
    assert bound[0].tags == convert_tags(bound[0].tags, "bio", "bio") != free[0].tags


@pytest.mark.parametrize("decoder", ["softmax", "crf"])
def test_windows_do_not_show_in_the_answers(decoder: Any, folder: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """A model that sees single tokens only must say the same, however a sentence is cut."""
    words = "the old films was slowly good bad film book very not red rain s night day sun"
    (tmp_path / "a.txt").write_text("".join(f"{word} {'B-X' if place % 3 else 'I-X'}\n" for place, word in
                                            enumerate(words.split())) + "\nthe O\n")  # fmt: skip
    task, examples = learned(tmp_path / "a.txt", decoder=decoder, scheme="bio", overlap=3)
    model, _ = load_model(folder, heads=(task.head,), overrides=task.model_options())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "attention.output" in name or "position" in name:
                parameter.zero_()
            elif name.startswith("heads."):
                parameter.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(3))
    whole = answer(task, model, examples, tokenizer, 64)
    for length in (5, 8, 11):
        for cut, uncut in zip(answer(task, model, examples, tokenizer, length), whole, strict=True):
            assert cut.tags == uncut.tags
            assert cut.probabilities == pytest.approx(uncut.probabilities, abs=1e-5)
            assert [entity[:6] for entity in map(dataclasses.astuple, cut.entities)] == [
                entity[:6] for entity in map(dataclasses.astuple, uncut.entities)
            ]
    assert len(set(whole[0].tags)) > 1


def test_pieces_vote_when_all_of_them_were_taught(path: Path, tokenizer: Tokenizer) -> None:
    task, examples = learned(path, label_all_pieces=True, constrained=False)
    (feature, _) = features = task.encode(examples, tokenizer, max_length=16)
    assert feature.labels == [-100, 0, 1, 2, 2, 1, -100]
    logits = torch.zeros(2, 7, 4)
    logits[0, 3, 0], logits[0, 4, 2] = 1.0, 2.0  # the first piece of "books" says O, the second, louder, I-X
    said = task.results(task.collate(features, pad_token_id=0), LogitsOutput(logits=logits))
    assert task.answers(examples, features, said)[0].tags[2] == "I-X"
    first = dataclasses.replace(task, label_all_pieces=False)
    assert first.answers(examples, features, said)[0].tags[2] == "O"


def test_results_keep_no_hold_of_the_model(path: Path, tokenizer: Tokenizer) -> None:
    task, examples = learned(path, decoder="crf")
    features = task.encode(examples, tokenizer, max_length=16)
    batch = task.collate(features, pad_token_id=0)
    parts: list[Tensor] = [torch.nn.Parameter(torch.ones(shape)) for shape in ((4,), (4, 4), (4,))]
    start, between, end = parts
    logits = torch.zeros(2, 7, 4, requires_grad=True)
    said = task.results(
        batch, CrfOutput(logits=logits, start_transitions=start, transitions=between, end_transitions=end)
    )
    with torch.no_grad():
        between.zero_()
    assert said[0].transitions is not None
    assert said[0].transitions.between.min() == 1
    assert not said[0].transitions.between.requires_grad
    assert [len(said[index].logits) for index in (0, 1)] == [7, 4]
    assert task.weigh(batch) == {"loss": 6}


def test_unknown_tags_are_errors_or_misses(path: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    task, _ = learned(path)
    (tmp_path / "dev.txt").write_text("sun I-Y\n\nrain I-Z\nday O\n")
    examples = task.read(tmp_path / "dev.txt")
    with pytest.raises(DataError, match=r"dev.txt, line 3: unknown tag 'B-Z'.*unknown_tags=\"miss\""):
        task.check(examples, source="dev.txt")
    lenient = dataclasses.replace(task, unknown_tags="miss")
    lenient.check(examples)
    features = lenient.encode(examples, tokenizer, max_length=16)
    assert features[1].labels == [-100, -100, 0, -100]
    answers = lenient.answers(examples, features, saying(lenient, features, {0: ["B-Y"], 1: ["O", "O"]}))
    scores = lenient.score(examples, answers)
    assert (scores["entity_precision"], scores["entity_recall"], scores["token_accuracy"]) == (1.0, 0.5, 2 / 3)


def test_features_can_be_kept_on_disk_and_made_in_portions(path: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    task, examples = learned(path)
    whole = task.encode(examples, tokenizer, max_length=5)
    assert task.feature_type is TagFeature
    assert list(cached(TagFeature, lambda: whole, key="k" * 64, folder=tmp_path / "cache")) == whole
    first, second = (task.encode([example], tokenizer, max_length=5) for example in examples)
    moved = [task.renumbered(feature, index=len(first), example=1) for feature in second]
    assert [*first, *moved] == whole


def test_what_training_data_lack_is_named(path: Path, tmp_path: Path) -> None:
    task, _ = learned(path)
    (tmp_path / "words.txt").write_text("sun\nday\n")
    untagged = task.read(tmp_path / "words.txt")
    with pytest.raises(DataError, match=r"words.txt, line 1: the sentence has no tags; only prediction works without"):
        task.check(untagged, source="words.txt")
    (tmp_path / "other.txt").write_text("sun I-Y\nday S-Y\n")
    with pytest.raises(DataError, match=r"other.txt, line 1, word 1: the tag 'S-Y' is neither O nor one of I-"):
        task.check(task.read(tmp_path / "other.txt"), source="other.txt")
    (tmp_path / "same.txt").write_text("sun O\nday O\n")
    with pytest.raises(DataError, match=r"same.txt: expected several tags to tell apart, got 'O'"):
        learned(tmp_path / "same.txt")
    for question in (Tagging().model_options, lambda: Tagging(labels=("O", "B-X")).check(untagged)):
        with pytest.raises(DataError, match=r"not known yet|no tags"):
            question()


def test_untagged_files_can_be_predicted(path: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    task, _ = learned(path)
    (tmp_path / "words.txt").write_text("old\nsun\n")
    examples = task.read(tmp_path / "words.txt")
    features = task.encode(examples, tokenizer, max_length=16, has_labels=False)
    (said,) = task.answers(examples, features, saying(task, features, {0: ["O", "B-Y"]}))
    assert task.record(examples[0], said)["tags"] is None
    assert said.entities[0].text == "sun"


def test_every_format_gives_the_same_sentences(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("sun\tB-Y\nday\tO\n")
    (tmp_path / "a.jsonl").write_text('{"tokens": ["sun", "day"], "ner": ["B-Y", "O"]}\n')
    (tmp_path / "seq.in").write_text("sun day\n")
    (tmp_path / "seq.out").write_text("B-Y O\n")
    wanted = [TaggedText("1", ("sun", "day"), ("B-Y", "O"), 1, "sun day", (0, 4))]
    assert Tagging().read(tmp_path / "a.conll") == wanted
    assert Tagging(word="tokens", tag="ner").read(tmp_path / "a.jsonl") == wanted
    assert Tagging().read(tmp_path) == wanted
    assert Tagging().read(tmp_path / "seq.in") == wanted
    (tmp_path / "seq.out").unlink()
    assert Tagging().read(tmp_path)[0].tags is None
    (tmp_path / "words.txt").write_text("sun day\n")
    (tmp_path / "tags.txt").write_text("B-Y O\n")
    other = Tagging(format="parallel", word_file="words.txt", tag_file="tags.txt")
    assert other.read(tmp_path) == other.read(tmp_path / "words.txt") == wanted


@pytest.mark.parametrize("decoder", ["softmax", "crf"])
def test_a_tagger_learns(decoder: Any, folder: Path, tokenizer: Tokenizer, path: Path) -> None:
    torch.manual_seed(0)
    task, examples = learned(path, decoder=decoder)
    model, _ = load_model(folder, heads=(task.head,), overrides=task.model_options())
    batch = task.collate(task.encode(examples, tokenizer, max_length=16), pad_token_id=0)
    inputs = {name: tensor for name, tensor in batch.items() if name != "index"}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        loss: Tensor = model(**inputs)["loss"]
        loss.backward()
        optimizer.step()
    model.eval()
    assert task.score(examples, answer(task, model, examples, tokenizer, 16))["entity_f1"] == 1.0


@pytest.mark.parametrize(("recipe", "labels"), [("conll2003", 9), ("msra", 7), ("snips", 72), ("atis", 120)])
def test_recipes_fit_the_real_files_and_lose_no_word(recipe: str, labels: int, tokenizer: Tokenizer) -> None:
    data = read_run(RECIPES / f"{recipe}.toml").all_tasks["task"]
    assert isinstance(data.task, Tagging)
    assert data.dev is not None
    train, examples = (data.task.read(shared_data(*name.split("/"))) for name in (data.train, data.dev))
    task = data.task.learned(train, source="train")
    assert task.labels is not None
    assert len(task.labels) == labels
    task.check(examples, source="dev")
    features = task.encode(examples, tokenizer, max_length=32, source="dev")
    decided = [0] * len(examples)
    for feature in features:
        decided[feature.example] += len(feature.bounds) - 1
    assert decided == [len(example.words) for example in examples]
    gold = [Tagged.of(e, e.tags or (), [1.0] * len(e.words), scheme=task.scheme) for e in examples]
    assert set(task.score(examples, gold).values()) == {1.0}
    assert all(e.text[one.start : one.end] == one.text for e, tagged in zip(examples, gold, strict=True)
               for one in tagged.entities)  # fmt: skip


def test_words_are_counted_by_class_once_each() -> None:
    task = Tagging(scheme="bio", labels=("O", "B-x", "I-x"), unknown_tags="miss")
    sentences = [
        TaggedText(id="1", line=1, text="a b c", words=("a", "b", "c"), starts=(0, 2, 4), tags=tags)
        for tags in (("O", "B-x", "O"), ("B-y", "O", "B-x"))
    ]
    assert task.class_counts(sentences) == [3, 2, 0]
    assert dataclasses.replace(task, decoder="crf").class_counts(sentences) is None


def test_labels_that_stand_twice_or_occur_nowhere_are_refused(tmp_path: Path) -> None:
    sentence = TaggedText(id="1", line=1, text="a", words=("a",), starts=(0,), tags=("B-y",))
    with pytest.raises(ConfigError, match="labels: 'O' stands there twice"):
        Tagging(labels=("O", "B-x", "O")).learned([sentence])
    with pytest.raises(DataError, match=r"dev.txt: none of the tags is one of O, B-x"):
        Tagging(scheme="bio", labels=("O", "B-x"), unknown_tags="miss").check([sentence], source="dev.txt")
