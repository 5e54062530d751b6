"""A poet with random weights that knows a few hundred characters."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from plm.checkpoints.saving import save_model
from plm.generation.poet import Poet
from plm.poetry import RhymeBook
from plm.poetry.prompt import TYPES
from plm.tasks import Poems
from plm.tokenizers import Tokenizer
from tests.tiny_models import tiny_model

BOOKS = ("pingshui", "xinyun", "cilin")
USED = "人工智能春夏秋冬花家山水月光明夜李白乾坤头发东风马云里后"


@cache
def characters() -> str:
    """Those that tests write, and a few hundred that all rhyme books know."""
    books = [RhymeBook.named(name) for name in BOOKS]
    known = [one for one in map(chr, range(0x4E00, 0x9FA6)) if all(one in book for book in books)]
    return "".join(dict.fromkeys(USED + "".join(known[::14])))


def tiny_tokenizer() -> Tokenizer:
    """With a token for each of the characters."""
    return Poems(characters=characters()).own_tokenizer(None)


def tiny_poet(family: str = "nezha", *, seed: int = 0, known: Any = None, judge: Any = None, **changes: Any) -> Poet:
    """A poet that has learned nothing. changes: of its config."""
    tokenizer = tiny_tokenizer()
    sizes = {"vocab_size": len(tokenizer), "type_vocab_size": TYPES, "attention_pattern": "causal"} | changes
    return Poet(tiny_model(family, "causal_lm", seed=seed, **sizes), tokenizer, known=known, judge=judge)


def tiny_poet_folder(folder: Path) -> Path:
    """The same, as `plm train` leaves it."""
    poet = tiny_poet()
    save_model(poet.model, folder)
    poet.tokenizer.save_pretrained(folder)
    return folder
