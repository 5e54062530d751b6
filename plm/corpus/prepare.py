"""From text to a prepared corpus: in several processes, within bounded memory, and never twice over the same text.

    corpus = prepare(["books.txt", "wiki/*.gz"], "corpus", tokenizer=tokenizer, layout=TextLayout(kind="sentences"))

One process finds blocks of lines and writes, the others make ids of them; the blocks come back in their order, so the
files are the same however many there are. What is written lies in `corpus.partial` until it is whole. A journal there
says up to where in the text everything is on the disk: a preparation that was killed goes on from it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import itertools
import json
import logging
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import tokenizers
from tqdm import tqdm

import plm
from plm.config import write_text
from plm.corpus.draft import Draft, clear_draft
from plm.corpus.encoding import BlockEncoder, EncodedBlock
from plm.corpus.places import BlockPlace, find_blocks
from plm.corpus.reading import Block, Position, TextLayout, find_files, total_bytes
from plm.corpus.segmenters import Segmenter
from plm.corpus.store import MANIFEST, TOKENIZER, Corpus, Manifest
from plm.corpus.survey import Survey
from plm.errors import DataError
from plm.folders import clear_leftovers, put_in_place
from plm.parallel import parallel_map
from plm.tokenizers import Tokenizer, save_tokenizer
from plm.tokenizers.identity import tokenizer_state

logger = logging.getLogger(__name__)

Found = Block | BlockPlace
Engine = Callable[[Callable[[Found], EncodedBlock], Iterable[Found]], Generator[EncodedBlock, None, None]]
"""Does something with every block, somewhere, and gives the results in the order of the blocks."""

REPORT, PICTURE = "report.md", "lengths.png"

BLOCK_BYTES = 1 << 20
"""Text that is encoded at a time."""

COMMIT_EVERY = 5.0
"""Seconds of work that a crash may cost."""


def prepare(
    sources: Sequence[Path | str],
    folder: Path | str,
    *,
    tokenizer: Tokenizer,
    layout: TextLayout,
    segmenter: Segmenter | None = None,
    workers: int = 0,
    engine: Engine | None = None,
    overwrite: bool = False,
) -> Corpus:
    """Write the corpus of some texts into a folder: see plm.corpus.store, and report.md with a picture of the lengths.

    sources: files, folders and patterns. layout: of the files. workers: processes that encode; 0 = this one alone.
    segmenter: text -> words, for masking whole words of languages that do not write spaces.
    engine: who does the work, in place of `workers` processes here.
    overwrite: True = a corpus that is there already is replaced, once the new one is whole.
    Interrupted or killed, the same call goes on where it stopped; the outcome is the same to the byte.
    Shows a progress bar on a terminal. Memory does not grow with the text.
    Raises DataError for a folder that is taken, text that cannot be read, or what was begun with other text or options.
    """
    folder, files = Path(folder), find_files(sources)
    clear_leftovers(folder)
    _require_free(folder, overwrite=overwrite)
    encode = BlockEncoder(tokenizer, layout, segmenter)
    spread = engine or partial(parallel_map, workers=workers)
    begun = folder.with_name(f"{folder.name}.partial")
    origin = _origin(files, encode)
    with Draft(begun, origin=origin, vocabulary=len(tokenizer), with_words=segmenter is not None) as draft:
        survey = Survey(tokenizer)
        if draft.progress.survey:
            survey.load_state_dict(draft.progress.survey)
        try:
            _fill(draft, survey, files, encode, spread)
            types = draft.finish()
        except OSError as error:
            raise DataError(
                f"{begun}: cannot be written ({error.strerror or error}); once it can, the same call goes on from here"
            ) from error
    if not draft.progress.tokens:
        shutil.rmtree(begun)
        raise DataError(f"{', '.join(map(str, files[:3]))}: no text: nothing in it has tokens")
    save_tokenizer(tokenizer, begun / TOKENIZER)
    _describe(survey, begun, title=folder.name, origin=origin)
    Manifest.of(begun, types, tokenizer=tokenizer, origin=origin | {"text": draft.progress.text}).write(begun)
    put_in_place(begun, folder)
    clear_draft(folder)
    return Corpus.open(folder)


def _fill(draft: Draft, survey: Survey, files: Sequence[Path], encode: BlockEncoder, spread: Engine) -> None:
    """Encode what the draft does not hold yet. Whatever happens, its journal stays true."""
    was = draft.progress
    blocks = find_blocks(files, encode.layout, start=Position(was.file, was.offset), size=BLOCK_BYTES)
    # Bytes of the files before each, and of all.
    before = list(itertools.accumulate((total_bytes([file]) for file in files), initial=0))
    if was.tokens:
        logger.info("%s: going on in %s", draft.folder, files[min(was.file, len(files) - 1)])
    bar = tqdm(
        total=before[-1], desc="preparing", unit="B", unit_scale=True, disable=None, delay=1, initial=was.disk_bytes
    )
    committed = time.monotonic()
    with bar, closing(spread(encode, blocks)) as encoded:
        for block in encoded:
            draft.add(block.ids, block.lengths, block.ends, block.starts)
            survey.add(block.facts)
            was.text = hashlib.sha256(bytes.fromhex(was.text) + block.text).hexdigest()
            was.file, was.offset = block.next
            was.disk_bytes = before[block.file] + block.disk_end
            bar.update(was.disk_bytes - bar.n)
            if time.monotonic() - committed > COMMIT_EVERY:
                draft.commit(survey.state_dict())
                committed = time.monotonic()
    draft.commit(survey.state_dict())


def _origin(files: Sequence[Path], encode: BlockEncoder) -> dict[str, Any]:
    """Everything that the outcome depends on, and that tells whether the text is still the same."""
    found = [(str(file), file.stat()) for file in files]
    told = json.dumps(tokenizer_state(encode.tokenizer), sort_keys=True)
    return {
        "files": [{"path": path, "bytes": stat.st_size, "modified": stat.st_mtime_ns} for path, stat in found],
        "layout": dataclasses.asdict(encode.layout),
        "tokenizer": hashlib.sha256(told.encode()).hexdigest(),
        "segmenter": None if encode.segmenter is None else repr(encode.segmenter),
        "block_bytes": BLOCK_BYTES,
        "versions": {"plm": plm.__version__, "tokenizers": tokenizers.__version__},
    }


def _require_free(folder: Path, *, overwrite: bool) -> None:
    if folder.exists() and not (folder.is_dir() and (overwrite or not any(folder.iterdir()))):
        raise DataError(f"{folder}: is there already; name a new folder, or pass overwrite=True (--overwrite)")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise DataError(f"{folder}: holds something else than a prepared corpus, which is not overwritten")


def _describe(survey: Survey, folder: Path, *, title: str, origin: Mapping[str, Any]) -> None:
    """report.md and, where there is matplotlib, a picture; warnings also go to the log."""
    for warning in survey.warnings():
        logger.warning("%s", warning)
    layout = {name: value for name, value in origin["layout"].items() if value is not None}
    settings = {"files": len(origin["files"]), **layout, "segmenter": origin["segmenter"] or "none"}
    report = survey.markdown(title, settings)
    if importlib.util.find_spec("matplotlib"):
        survey.draw(folder / PICTURE)
        report += f"\n![How long sentences and documents are, in tokens]({PICTURE})\n"
    write_text(folder / REPORT, report)
