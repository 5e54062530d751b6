"""`AutoTokenizer`: the tokenizer of a folder or a hub name. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from plm.checkpoints.hub import TOKENIZER_FILES, resolve
from plm.tokenizers import Tokenizer, load_tokenizer


class AutoTokenizer:
    """Loads tokenizers; there is nothing to instantiate."""

    def __init__(self) -> None:
        raise OSError("AutoTokenizer is not a tokenizer: use AutoTokenizer.from_pretrained(name_or_path)")

    @staticmethod
    def from_pretrained(
        name_or_path: str | Path,
        *,
        pretokenizer: Literal["openai", "bert"] | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
    ) -> Tokenizer:
        """The tokenizer stored under a path or a hub name.

        pretokenizer: for GPT-1, how text is split before BPE, in place of what the folder says.
        The other arguments are those of plm.checkpoints.hub.resolve.
        Raises TokenizerError for a folder without vocabulary, HubError for a name that cannot be fetched.
        """
        folder = resolve(
            name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            subfolder=subfolder,
            files=("config.json", *TOKENIZER_FILES),
        )
        return load_tokenizer(folder, pretokenizer=pretokenizer)
