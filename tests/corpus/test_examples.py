"""Examples are what is planned, in the form that models take; masks are those of the example and epoch."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import plm
from plm.corpus.examples import Examples, PairExamples, StretchExamples, TextExamples
from plm.corpus.store import Corpus
from plm.data.masking import Masking
from plm.errors import ConfigError, DataError, TokenizerError
from plm.models.bert import BertConfig
from tests.corpus.small import TOKENIZER, random_corpus

CLS, SEP, PAD, MASK = (TOKENIZER.convert_tokens_to_ids(token) for token in ("[CLS]", "[SEP]", "[PAD]", "[MASK]"))
CORPUS = random_corpus(12, sentences=40)


def pairs(corpus: Corpus = CORPUS, **options: Any) -> PairExamples:
    return PairExamples(corpus, **{"max_length": 32, "masking": Masking(count="google"), **options})


def texts(corpus: Corpus = CORPUS, **options: Any) -> TextExamples:
    return TextExamples(corpus, **{"max_length": 32, "masking": Masking(count="google"), **options})


def stretches(corpus: Corpus = CORPUS, **options: Any) -> StretchExamples:
    return StretchExamples(corpus, **{"max_length": 32, **options})


ALL: list[Examples] = [pairs(), pairs(next_sentence="order"), texts(), stretches(), stretches(across_documents=True)]


def restored(batch: dict[str, torch.Tensor]) -> list[list[int]]:
    """The texts as they were before words were hidden."""
    ids = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
    live = batch["attention_mask"].bool()
    return [row[mask].tolist() for row, mask in zip(ids, live, strict=True)]


def test_pairs_are_framed_typed_and_labelled() -> None:
    epoch = pairs().epoch(0)
    batch = epoch.batch(np.arange(len(epoch)))
    assert set(batch) == {
        "input_ids", "attention_mask", "token_type_ids", "labels", "next_sentence_label", "index"
    }  # fmt: skip
    assert (batch["attention_mask"].sum(1).numpy() == epoch.lengths).all()
    assert epoch.lengths.max() == 32
    everything = CORPUS.tokens.tolist()
    for row, types in zip(restored(batch), batch["token_type_ids"].tolist(), strict=True):
        first, second = row.index(SEP), len(row) - 1
        assert row[0] == CLS
        assert row[second] == SEP
        assert row.count(SEP) == 2
        assert types == [0] * (first + 1) + [1] * (second - first) + [0] * (len(types) - len(row))
    assert (batch["input_ids"][batch["attention_mask"] == 0] == PAD).all()
    assert set(batch["next_sentence_label"].tolist()) == {0, 1}
    text = restored(batch)[5]
    assert contains(everything, text[1 : text.index(SEP)])


def contains(whole: list[int], part: list[int]) -> bool:
    return any(whole[start : start + len(part)] == part for start in range(len(whole)))


def test_texts_hold_the_whole_corpus_once() -> None:
    epoch = texts().epoch(1)
    batch = epoch.batch(np.arange(len(epoch)))
    assert "next_sentence_label" not in batch
    assert not batch["token_type_ids"].any()
    found = sorted(id_ for row in restored(batch) for id_ in row[1:-1])
    assert found == sorted(CORPUS.tokens.tolist())


def test_stretches_are_their_own_labels() -> None:
    epoch = stretches(across_documents=True).epoch(0)
    batch = epoch.batch(np.arange(len(epoch)))
    assert set(batch) == {"input_ids", "attention_mask", "labels", "index"}
    live = batch["attention_mask"].bool()
    assert (batch["labels"][live] == batch["input_ids"][live]).all()
    assert (batch["labels"][~live] == -100).all()
    assert batch["input_ids"][live].tolist() == CORPUS.tokens.tolist()


def test_as_many_words_are_hidden_as_the_masking_says() -> None:
    epoch = pairs().epoch(0)
    labels = epoch.batch(np.arange(len(epoch)))["labels"] != -100
    assert labels.sum(1).tolist() == [max(1, round(length * 0.15)) for length in epoch.lengths.tolist()]
    for nothing in (None, Masking(probability=0.0)):
        batch = pairs(masking=nothing).epoch(0).batch(np.arange(20))
        assert (batch["labels"] == -100).all()
        assert not (batch["input_ids"] == MASK).any()


def test_words_that_a_segmenter_found_are_hidden_whole() -> None:
    corpus = random_corpus(6, sentences=40, word_starts=True)
    starts = corpus.word_starts(np.arange(len(corpus.tokens)))
    examples = stretches(corpus, across_documents=True)
    assert (examples.epoch(0).batch(np.array([0]))["labels"] != -100).any()
    epoch = texts(corpus, masking=Masking(whole_words=True, mask_share=1.0, random_share=0.0)).epoch(0)
    flat = epoch.flat(np.arange(len(epoch)))
    chosen = np.zeros(len(flat.ids), dtype=bool)
    chosen[flat.places] = True
    order = np.argsort(epoch.make.args[0].start)  # texts by their place in the corpus, which they hold once
    parts = np.split(chosen, np.cumsum(flat.lengths)[:-1])
    of_corpus = np.concatenate([parts[row][1:-1] for row in order])
    text_starts = np.zeros(len(starts), dtype=bool)
    text_starts[epoch.make.args[0].start] = True
    inside = ~starts[1:] & ~text_starts[1:]
    assert inside.any()
    assert (of_corpus[1:] == of_corpus[:-1])[inside].all()


@pytest.mark.parametrize("examples", ALL)
def test_an_example_is_the_same_in_whatever_batch_and_order(examples: Examples) -> None:
    epoch, again = examples.epoch(2), examples.epoch(2)
    whole = epoch.batch(np.arange(len(epoch)))
    rows = np.random.default_rng(0).permutation(len(epoch))[:9]
    some = again.batch(rows)
    width = some["input_ids"].shape[1]
    assert some["index"].tolist() == rows.tolist()
    for name, tensor in some.items():
        expected = whole[name][rows]
        assert torch.equal(tensor, expected[:, :width] if tensor.ndim == 2 else expected), name


@pytest.mark.parametrize("examples", ALL)
def test_epochs_differ(examples: Examples) -> None:
    first, second = (examples.epoch(number) for number in (0, 1))
    rows = np.arange(min(len(first), len(second)))
    one, other = first.flat(rows), second.flat(rows)
    assert one.lengths.tolist() != other.lengths.tolist() or (one.ids != other.ids).any()


def test_the_same_pairs_are_masked_anew_in_another_epoch() -> None:
    corpus = Corpus.of([[[7] * 9 for _ in range(3)]] * 2, TOKENIZER)
    examples = texts(corpus)
    one, other = (examples.epoch(number).flat(np.arange(2)) for number in (0, 1))
    assert (one.lengths == other.lengths).all()
    assert one.places.tolist() != other.places.tolist()


def test_another_process_makes_the_same_batches(tmp_path: Path) -> None:
    rows = np.array([3, 0, 2])
    (tmp_path / "examples").write_bytes(pickle.dumps((ALL, rows)))
    program = (
        "import pickle, sys; from pathlib import Path; folder = Path(sys.argv[1]);"
        "examples, rows = pickle.loads((folder / 'examples').read_bytes());"
        "batches = [one.epoch(3).batch(rows) for one in examples];"
        "plain = [{name: tensor.numpy() for name, tensor in batch.items()} for batch in batches];"
        "(folder / 'batches').write_bytes(pickle.dumps(plain))"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    made = pickle.loads((tmp_path / "batches").read_bytes())
    for examples, batch in zip(ALL, made, strict=True):
        for name, tensor in examples.epoch(3).batch(rows).items():
            assert (tensor.numpy() == batch[name]).all()


def test_facts_change_with_corpus_and_settings() -> None:
    facts = [
        examples.fingerprint()
        for examples in (
            *ALL,
            pairs(random_corpus(12, seed=1)),
            pairs(max_length=31),
            pairs(seed=1),
            pairs(masking=Masking(seed=1)),
            texts(short_probability=0.5),
            stretches(keep_short=False),
        )
    ]
    assert all(facts.count(one) == 1 for one in facts)
    assert pairs().fingerprint() == pairs().fingerprint()


def test_models_learn_from_them() -> None:
    config = BertConfig(
        vocab_size=len(TOKENIZER), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    model = plm.AutoModelForPreTraining.from_config(config)
    batch = pairs().epoch(0).batch(np.arange(4))
    del batch["index"]
    assert torch.isfinite(model(**batch).loss)


def test_what_cannot_be_is_refused() -> None:
    empty = Corpus.of([], TOKENIZER)
    for make in (pairs, texts, stretches):
        with pytest.raises(DataError, match="holds no documents"):
            make(empty)
    with pytest.raises(DataError, match="there is only one"):
        pairs(random_corpus(1))
    for make, most in ((pairs, 4), (texts, 3), (stretches, 1)):
        with pytest.raises(ConfigError, match="max_tokens: expected 2 or more"):
            make(max_length=most)
    other = plm.AutoTokenizer.from_pretrained("plm/tiny-en")
    other.set_role("sep_token", None)
    with pytest.raises(TokenizerError, match="lacks one of them"):
        pairs(Corpus.of([[[7]], [[8]]], other))
