"""Folders of texts are read whole, and samples of them hold every label equally."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.folders import read_folder, stratified, with_line_ends
from plm.data.readers import Example
from plm.errors import DataError
from tests.shared_data import shared_data


def write(folder: Path, **texts: str) -> Path:
    """Files LABEL__NAME=text."""
    for name, text in texts.items():
        file = folder / f"{name.replace('__', '/')}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def labelled(*labels: str) -> list[Example]:
    return [Example(id=str(line), text="t", pair=None, label=label, line=line) for line, label in enumerate(labels, 1)]


def test_the_folder_is_the_label_and_the_order_does_not_depend_on_the_disk(tmp_path: Path) -> None:
    write(tmp_path, pos__b="Fine.", neg__z="Dull.", pos__a="Great!", unsup__q="Who knows.")
    (tmp_path / "urls_pos.txt").write_text("no review", encoding="utf-8")
    (tmp_path / ".cache").mkdir()
    found = [(example.id, example.label, example.text) for example in read_folder(tmp_path)]
    assert found == [("neg/z", "neg", "Dull."), ("pos/a", "pos", "Great!"), ("pos/b", "pos", "Fine.")]
    assert len(read_folder(tmp_path, ignored=())) == 4


def test_html_breaks_become_line_ends_unless_asked_otherwise(tmp_path: Path) -> None:
    write(tmp_path, pos__a="One.<br /><br />Two. <BR> Three<br/>", neg__a="x")
    assert read_folder(tmp_path)[1].text == "One.\nTwo.\nThree\n"
    assert "<br />" in read_folder(tmp_path, html_breaks=False)[1].text
    assert with_line_ends("a < b, <bread>") == "a < b, <bread>"


def test_what_is_no_folder_of_texts_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: is no folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="but it holds nothing"):
        read_folder(tmp_path)
    write(tmp_path, pos__a="x", neg__a="y")
    (tmp_path / "notes").mkdir()
    with pytest.raises(DataError, match=r"notes: holds no .txt files; remove it, or name 'notes' among ignored"):
        read_folder(tmp_path)
    assert len(read_folder(tmp_path, ignored=("notes",))) == 2


def test_a_file_that_is_empty_or_not_utf8_is_named(tmp_path: Path) -> None:
    write(tmp_path, pos__a="x", neg__a=" \n")
    with pytest.raises(DataError, match=r"a.txt: the text is empty"):
        read_folder(tmp_path)
    (tmp_path / "neg" / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"a.txt: cannot be read as UTF-8"):
        read_folder(tmp_path)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=40), st.integers(1, 40), st.integers(0, 5))
def test_a_sample_has_equal_shares_or_says_which_label_has_too_few(labels: list[str], count: int, seed: int) -> None:
    examples = labelled(*labels)
    try:
        chosen = stratified(examples, count, seed=seed)
    except DataError:
        counts = Counter(labels)
        assert count > len(labels) or min(counts.values()) < -(-count // len(counts))
        return
    assert len(chosen) == count
    shares = Counter(str(example.label) for example in chosen)
    assert max(shares.values()) - min((shares[label] for label in set(labels)), default=0) <= 1
    assert [example.line for example in chosen] == sorted({example.line for example in chosen})
    assert chosen == stratified(examples, count, seed=seed)


def test_other_seeds_choose_others() -> None:
    examples = labelled(*["pos", "neg"] * 50)
    assert stratified(examples, 10, seed=0) != stratified(examples, 10, seed=1)
    with pytest.raises(DataError, match="the label 'neg' has 1 examples, 2 are needed"):
        stratified(labelled("pos", "pos", "neg", "pos"), 4, seed=0)


def test_the_tree_of_imdb_is_read() -> None:
    for split in ("train", "test"):
        examples = read_folder(shared_data("imdb", "aclImdb_sample", split))
        assert Counter(example.label for example in examples) == {"neg": 20, "pos": 20}
        assert not any("<br" in example.text for example in examples)
