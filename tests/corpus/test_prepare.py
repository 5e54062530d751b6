"""Preparing a corpus: the same bytes from any number of processes, and after any number of deaths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plm.corpus import prepare as preparing
from plm.corpus.encoding import BlockEncoder, EncodedBlock
from plm.corpus.places import BlockPlace
from plm.corpus.prepare import prepare
from plm.corpus.reading import Block, TextLayout
from plm.corpus.store import Corpus
from plm.errors import DataError
from plm.tokenizers import Tokenizer

pytestmark = pytest.mark.usefixtures("small_blocks")

SENTENCES = TextLayout(kind="sentences")
FILES = ("tokens.bin", "sentences.bin", "documents.bin", "manifest.json", "report.md")


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES if name != "manifest.json"}


def test_the_ids_are_those_of_the_tokenizer(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "t.txt").write_text("One sentence.\nAnother, longer sentence!\n\n\nA second document.\n\x00\n")
    corpus = prepare([tmp_path / "t.txt"], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)
    expected = [["One sentence.", "Another, longer sentence!"], ["A second document."]]
    encoded = [tokenizer.encode_batch_ids(document, add_special_tokens=False)[0] for document in expected]
    assert [corpus.document(number) for number in range(len(corpus))] == encoded
    assert Corpus.open(tmp_path / "c", verify=True).fingerprint() == corpus.fingerprint()
    assert not (tmp_path / "c.partial").exists()
    assert not list((tmp_path / "c").glob("*.draft"))


def test_files_are_the_same_however_many_processes_and_however_cut(
    tmp_path: Path, text: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = prepare([text], tmp_path / "alone", tokenizer=tokenizer, layout=SENTENCES)
    prepare([text], tmp_path / "two", tokenizer=tokenizer, layout=SENTENCES, workers=2)
    monkeypatch.setattr(preparing, "BLOCK_BYTES", 10_000)
    prepare([text], tmp_path / "large", tokenizer=tokenizer, layout=SENTENCES)
    assert (tmp_path / "alone" / "manifest.json").read_bytes() == (tmp_path / "two" / "manifest.json").read_bytes()
    first, second, third = (
        {name: data for name, data in content(tmp_path / folder).items() if name != "report.md"}
        for folder in ("alone", "two", "large")
    )
    assert first == second == third
    assert len(alone) > 10


class DiesAfter(BlockEncoder):
    """Encodes so many blocks, then fails as a full machine does."""

    blocks = 0

    def __call__(self, found: Block | BlockPlace) -> EncodedBlock:
        self.blocks += 1
        if self.blocks > 3:
            raise MemoryError
        return super().__call__(found)


def test_a_preparation_that_died_goes_on_without_loss_or_duplicates(
    tmp_path: Path, text: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = prepare([text], tmp_path / "whole", tokenizer=tokenizer, layout=SENTENCES)
    deaths = 0
    monkeypatch.setattr(preparing, "BlockEncoder", DiesAfter)
    while True:
        try:
            corpus = prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)
            break
        except MemoryError:
            deaths += 1
            # what was written after the journal does not count
            with (tmp_path / "c.partial" / "tokens.bin").open("ab") as file:
                file.write(b"half a block")
    assert deaths > 3
    assert corpus.fingerprint() == expected.fingerprint()
    assert content(tmp_path / "c")["documents.bin"] == content(tmp_path / "whole")["documents.bin"]


def test_a_killed_process_loses_nothing(tmp_path: Path, text: Path, tokenizer: Tokenizer) -> None:
    expected = prepare([text], tmp_path / "whole", tokenizer=tokenizer, layout=SENTENCES)
    program = f"""
import time
from plm.auto.tokenizer import AutoTokenizer
from plm.corpus import prepare as preparing
from plm.corpus.draft import Draft
from plm.corpus.reading import TextLayout
preparing.BLOCK_BYTES, preparing.COMMIT_EVERY = 200, 0.0
add = Draft.add
def slow(*arguments):
    time.sleep(0.02)
    add(*arguments)
Draft.add = slow
preparing.prepare([{str(text)!r}], {str(tmp_path / "c")!r}, tokenizer=AutoTokenizer.from_pretrained("plm/tiny-en"),
                  layout=TextLayout(kind="sentences"))
"""
    for blocks in (2, 6):
        process = subprocess.Popen([sys.executable, "-c", program])
        tokens = tmp_path / "c.partial" / "tokens.bin"
        while process.poll() is None and not (tokens.exists() and tokens.stat().st_size > blocks * 100):
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "c").exists()
    corpus = prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)
    assert corpus.fingerprint() == expected.fingerprint()


def begin(tmp_path: Path, text: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(preparing, "BlockEncoder", DiesAfter)
        with pytest.raises(MemoryError):
            prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)


def test_what_was_begun_with_other_text_or_options_is_refused(
    tmp_path: Path, text: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path, text, tokenizer, monkeypatch)
    with pytest.raises(DataError, match="begun with another layout; delete it"):
        prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=TextLayout(kind="documents"))
    with (text / "a.txt").open("a") as file:
        file.write("More.\n")
    with pytest.raises(DataError, match="begun with another files; delete it"):
        prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)


def test_a_journal_that_promises_more_than_the_files_hold_is_refused(
    tmp_path: Path, text: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path, text, tokenizer, monkeypatch)
    (tmp_path / "c.partial" / "tokens.bin").write_bytes(b"")
    with pytest.raises(DataError, match="has lost what was written"):
        prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)


def test_a_taken_folder_is_left_alone(tmp_path: Path, text: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(DataError, match=r"is there already|holds something else"):
            prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES, overwrite=overwrite)
    assert (tmp_path / "c" / "thesis.txt").read_text() == "mine"


def test_an_old_corpus_is_replaced_only_if_told(tmp_path: Path, text: Path, tokenizer: Tokenizer) -> None:
    prepare([text / "a.txt"], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)
    with pytest.raises(DataError, match="is there already"):
        prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)
    old = len(Corpus.open(tmp_path / "c"))
    assert len(prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES, overwrite=True)) > old


def test_a_full_disk_says_how_to_go_on(
    tmp_path: Path, text: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("plm.corpus.draft.Draft._write", full)
        with pytest.raises(DataError, match=r"No space left on device.*the same call goes on from here"):
            prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)
    assert len(prepare([text], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)) > 10


def test_text_without_tokens_is_no_corpus(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "t.txt").write_text("\n\n \n")
    with pytest.raises(DataError, match="no text"):
        prepare([tmp_path / "t.txt"], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)
    (tmp_path / "t.txt").write_text("Some text.\n")  # nothing is left that would stand in the way
    assert len(prepare([tmp_path / "t.txt"], tmp_path / "c", tokenizer=tokenizer, layout=SENTENCES)) == 1
