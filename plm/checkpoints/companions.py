"""What belongs to weights in a folder besides the config, carried to another: the tokenizer, and what was learned."""

from __future__ import annotations

import shutil
from pathlib import Path

from plm.checkpoints.hub import LEARNED_FILES, TOKENIZER_FILES
from plm.errors import TokenizerError
from plm.tokenizers import Tokenizer, load_tokenizer

# What readers of a layout call the files of GPT-1: name that plm writes -> name there.
LAYOUT_NAMES = {"openai": {"vocab.json": "encoder_bpe_40000.json", "merges.txt": "vocab_40000.bpe"}}


def carry_tokenizer(source: Path, folder: Path, *, layout: str) -> tuple[tuple[str, ...], str | None]:
    """Put the tokenizer that lies with a checkpoint into a folder.

    source: a folder, or a file in it. layout: a name in TARGETS, whose readers may have names of their own for files.
    Returns the names of the files, and a sentence for people when it is not the whole tokenizer that was carried:
    there is none, or it cannot be read here and its files were copied as they are.
    """
    origin = source if source.is_dir() else source.parent
    there = [name for name in TOKENIZER_FILES if (origin / name).is_file()]
    if not there:
        return (), "there is no tokenizer beside the weights"
    try:
        return write_tokenizer(load_tokenizer(origin), folder, layout=layout), None
    except TokenizerError as error:
        for name in there:
            shutil.copyfile(origin / name, folder / name)
        return tuple(there), f"the tokenizer was copied unread: {error}"


def carry_learned(source: Path, folder: Path) -> None:
    """Put the files that say what the heads learned, where there are any, into a folder: so it can be asked as well.

    source: a folder, or a file in it.
    """
    origin = source if source.is_dir() else source.parent
    for name in LEARNED_FILES:
        if (origin / name).is_file():
            shutil.copyfile(origin / name, folder / name)


def write_tokenizer(tokenizer: Tokenizer, folder: Path, *, layout: str) -> tuple[str, ...]:
    """Write the files of a tokenizer for the readers of a layout, and return their names."""
    names = [file.name for file in tokenizer.save_pretrained(folder)]
    for ours, theirs in LAYOUT_NAMES.get(layout, {}).items():
        if ours in names:
            shutil.copyfile(folder / ours, folder / theirs)
            names.append(theirs)
    return tuple(names)
