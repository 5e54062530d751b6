"""A prepared corpus on disk: flat token ids, and where sentences and documents end. Read mapped, so it may be any size.

    manifest.json     counts, types, how it was made, size and SHA-256 of every file
    tokens.bin        uint16, or uint32 for a vocabulary of more than 65,536: all sentences one after the other
    sentences.bin     uint16 or uint32: tokens of each sentence
    documents.bin     int64, two for each document and two more: its first sentence and first token; the totals
    word_starts.bin   a bit for each token, 1 = a word starts here; where a segmenter told words
    tokenizer/        the tokenizer that made it

All numbers are little-endian. Nothing in the folder is executed when it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from plm.config import read_json, write_json
from plm.errors import ConfigError, DataError
from plm.tokenizers import Tokenizer, load_tokenizer
from plm.tokenizers.identity import vocabulary_digest

FORMAT = "plm corpus 1"
MANIFEST, TOKENIZER = "manifest.json", "tokenizer"
TOKENS, SENTENCES, DOCUMENTS, WORD_STARTS = "tokens.bin", "sentences.bin", "documents.bin", "word_starts.bin"

TYPES: dict[str, np.dtype[Any]] = {
    "uint16": np.dtype("<u2"),
    "uint32": np.dtype("<u4"),
    "int64": np.dtype("<i8"),
    "bits": np.dtype("u1"),
}

# Tokens that are counted together.
_COUNTED = 1 << 20

Numbers = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Corpus:
    """Sentences of documents as token ids.

    tokens: (tokens,), uint16 or uint32, without special tokens.
    sentences: (sentences,), uint16 or uint32, tokens of each, at least 1.
    documents: (documents + 1, 2), int64, number of the first sentence and of the first token of each, none of them
        empty; the last row holds the totals.
    tokenizer: that made it. facts: what tells it from others. folder: where it lies; None = in memory.
    word_bits: a bit for each token, as numpy packs them, 1 = a word starts here; None = no segmenter told.
    """

    tokens: Numbers
    sentences: Numbers
    documents: NDArray[np.int64]
    tokenizer: Tokenizer
    facts: Mapping[str, int | str]
    folder: Path | None = None
    word_bits: NDArray[np.uint8] | None = None

    @classmethod
    def open(cls, folder: Path | str, *, verify: bool = False) -> Corpus:
        """Map the files of a folder that `plm prepare-corpus` wrote.

        verify: True = compare the SHA-256 of all files, which reads them whole; sizes are always compared.
        Raises DataError for a folder that is no corpus, or whose files were changed.
        """
        folder = Path(folder)
        manifest = Manifest.read(folder)
        for name, file in manifest.files.items():
            _check_file(folder / name, file, verify=verify)
        return cls(
            tokens=_mapped(folder, TOKENS, manifest),
            sentences=_mapped(folder, SENTENCES, manifest),
            documents=_mapped(folder, DOCUMENTS, manifest).reshape(-1, 2),
            tokenizer=load_tokenizer(folder / TOKENIZER),
            facts={"corpus": manifest.digest(), **manifest.counts},
            folder=folder,
            word_bits=_mapped(folder, WORD_STARTS, manifest) if WORD_STARTS in manifest.files else None,
        )._checked()

    @classmethod
    def of(
        cls,
        documents: Sequence[Sequence[Sequence[int]]],
        tokenizer: Tokenizer,
        *,
        word_starts: Sequence[bool] | None = None,
    ) -> Corpus:
        """In memory, from the ids of sentences of documents. Raises DataError for empty ones."""
        lengths = [len(sentence) for document in documents for sentence in document]
        if not all(documents) or not all(lengths):
            raise DataError("a corpus holds no empty sentences and documents")
        flat = [id_ for document in documents for sentence in document for id_ in sentence]
        tokens = np.array(flat, dtype=token_type(len(tokenizer)))
        sentences = np.array(lengths, dtype=np.uint32)
        firsts = np.cumsum([0, *map(len, documents)], dtype=np.int64)
        places = np.concatenate([[0], np.cumsum(sentences, dtype=np.int64)])[firsts]
        ends = np.stack([firsts, places], axis=1).astype(np.int64)
        bits = None if word_starts is None else np.packbits(np.array(word_starts, dtype=bool))
        told = hashlib.sha256(b"".join(array.tobytes() for array in (tokens, sentences, ends))).hexdigest()[:16]
        counts = {"documents": len(documents), "sentences": len(lengths), "tokens": len(flat)}
        return cls(tokens, sentences, ends, tokenizer, {"corpus": told, **counts}, None, bits)

    def __reduce__(self) -> Any:
        """Travels to other processes by the name of its folder."""
        return (Corpus.open, (self.folder,)) if self.folder else super().__reduce__()

    def __len__(self) -> int:
        """Documents."""
        return len(self.documents) - 1

    @property
    def has_word_starts(self) -> bool:
        """True = a segmenter told where words start."""
        return self.word_bits is not None

    def word_starts(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(places,), bool, True = a word starts at this token. Raises DataError where no segmenter told words."""
        if self.word_bits is None:
            raise DataError(f"{self.folder or 'the corpus'}: was prepared without a segmenter, so it knows no words")
        packed = np.asarray(self.word_bits).take(places >> 3, mode="clip")
        starts: NDArray[np.bool_] = (packed >> (7 - (places & 7)).astype(np.uint8) & 1).astype(bool)
        return starts

    def document(self, number: int) -> list[list[int]]:
        """The ids of the sentences of a document."""
        if not 0 <= number < len(self):
            raise DataError(f"document {number}: there are {len(self)}, numbered from 0")
        (sentence, token), (next_sentence, last) = self.documents[number : number + 2].tolist()
        ends = np.cumsum(self.sentences[sentence:next_sentence], dtype=np.int64)
        return [part.tolist() for part in np.split(self.tokens[token:last], ends[:-1])]

    def _checked(self) -> Corpus:
        """Raise DataError where the files do not fit each other."""
        totals = [[0, 0], [len(self.sentences), len(self.tokens)]]
        lacks_bits = self.word_bits is not None and 8 * len(self.word_bits) < len(self.tokens)
        if lacks_bits or self.documents[[0, -1]].tolist() != totals:
            raise DataError(f"{self.folder}: its files do not fit each other; prepare the corpus again")
        return self

    def count_tokens(self, most: int) -> NDArray[np.int64]:
        """(vocabulary,), how often each token is there; of a larger corpus, in about `most` tokens evenly taken."""
        counts = np.zeros(len(self.tokenizer), dtype=np.int64)
        stride = _COUNTED * max(1, -(-len(self.tokens) // most))
        for start in range(0, len(self.tokens), stride):
            counts += np.bincount(self.tokens[start : start + _COUNTED], minlength=len(counts))
        return counts

    def fingerprint(self) -> dict[str, int | str]:
        """Facts that tell it from other corpora."""
        return dict(self.facts)


@dataclass(frozen=True)
class Manifest:
    """What a corpus is, as manifest.json holds it.

    counts: documents, sentences, tokens. files: name -> {"type", "bytes", "sha256"}. vocabulary: a digest of it.
    origin: text and options that it was made of.
    """

    counts: Mapping[str, int]
    files: Mapping[str, Mapping[str, Any]]
    vocabulary: str
    origin: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises DataError for a folder without manifest, or a strange one."""
        path = folder / MANIFEST
        if not path.is_file():
            raise DataError(f"{folder}: is no prepared corpus (it has no {MANIFEST}); make one with plm prepare-corpus")
        try:
            values = read_json(path)
            if values["format"] != FORMAT:
                raise DataError(f"{path}: the format is {values['format']!r}, this version of plm reads {FORMAT!r}")
            counts = {name: int(values["counts"][name]) for name in ("documents", "sentences", "tokens")}
            files = {name: values["files"][name] for name in (TOKENS, SENTENCES, DOCUMENTS)}
            if WORD_STARTS in values["files"]:
                files[WORD_STARTS] = values["files"][WORD_STARTS]
            for file in files.values():
                _ = TYPES[file["type"]], int(file["bytes"]), str(file["sha256"])
            return cls(counts, files, str(values["vocabulary"]), values["origin"])
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
            raise DataError(f"{path}: is damaged ({error!r}); prepare the corpus again") from error

    @classmethod
    def of(cls, folder: Path, types: Mapping[str, str], *, tokenizer: Tokenizer, origin: Mapping[str, Any]) -> Manifest:
        """That of files that have just been written. types: of the numbers in each file, by its name."""
        files: dict[str, dict[str, Any]] = {}
        for name, kind in types.items():
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                files[name] = {"type": kind, "bytes": file.tell(), "sha256": digest}
        sizes = {name: file["bytes"] // TYPES[file["type"]].itemsize for name, file in files.items()}
        counts = {"documents": sizes[DOCUMENTS] // 2 - 1, "sentences": sizes[SENTENCES], "tokens": sizes[TOKENS]}
        return cls(counts, files, vocabulary_digest(tokenizer), origin)

    def write(self, folder: Path) -> None:
        """As manifest.json."""
        values = {"format": FORMAT, "counts": dict(self.counts), "vocabulary": self.vocabulary}
        files = {name: dict(file) for name, file in self.files.items()}
        write_json(folder / MANIFEST, {**values, "files": files, "origin": dict(self.origin)})

    def digest(self) -> str:
        """16 hexadecimal digits of the content."""
        told = [(name, file["sha256"]) for name, file in sorted(self.files.items())]
        return hashlib.sha256(json.dumps([told, self.vocabulary]).encode()).hexdigest()[:16]


def token_type(vocabulary: int) -> np.dtype[Any]:
    """The smallest type that holds ids below `vocabulary`."""
    return TYPES["uint16" if vocabulary <= 1 << 16 else "uint32"]


def _check_file(path: Path, file: Mapping[str, Any], *, verify: bool) -> None:
    if not path.is_file():
        raise DataError(f"{path}: is missing; prepare the corpus again")
    size = path.stat().st_size
    if size != file["bytes"] or size % TYPES[file["type"]].itemsize:
        raise DataError(f"{path}: expected {file['bytes']} bytes, got {size}; copy or prepare the corpus again")
    if verify:
        with path.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != file["sha256"]:
                raise DataError(f"{path}: its content was changed (SHA-256 differs); copy or prepare the corpus again")


def _mapped(folder: Path, name: str, manifest: Manifest) -> Numbers:
    kind = TYPES[manifest.files[name]["type"]]
    if not manifest.files[name]["bytes"]:
        return np.empty(0, dtype=kind)
    return cast("Numbers", np.memmap(folder / name, dtype=kind, mode="r"))
