"""From a name to a folder on disk: a path, a model inside the package, or a download from the Hugging Face hub.

A path never opens a socket. What the hub has is fetched once, by the hub's own client into its own cache, so that
downloads are shared with other libraries and its settings hold: HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_ENDPOINT
(mirrors) and HF_TOKEN. Of the weights, only the one format that will be read is fetched.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path

from plm.checkpoints.hub_sources import Cache, Hub, Request, UnreachableError
from plm.config import read_json
from plm.errors import CheckpointError, ConfigError, HubError, did_you_mean

_log = logging.getLogger(__name__)

CONFIG_FILES = ("config.json", "bert_config.json", "net_cfg.json", "ernie_config.json", "sizes.json")
LEARNED_FILES = ("tasks.json", "known_lines.bin")
"""What `plm train` writes about that which was learned: plm.tasks.saving and plm.poetry.known_lines read it."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "encoder_bpe_40000.json",  # OpenAI's own names for GPT-1
    "vocab_40000.bpe",
)
WEIGHT_FILES = (
    ("model.safetensors",),
    ("model.safetensors.index.json",),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json",),
    ("model_state.pdparams",),
    ("*.ckpt*.index", "*.ckpt*.data-*"),
    ("flax_model.msgpack",),
    ("tf_model.h5",),
    ("*.ckpt",),
    ("params_shapes.json", "params_*.npy"),
    ("model.npz",),
    # Names that people gave freely come last.
    ("*_pytorch_model.bin",),
    ("*.pt",),
    ("*.pth",),
    ("*.pdparams",),
    ("*.msgpack",),
    ("*.h5",),
    ("*.npz",),
)
"""Weight files by format, in the order in which plm.checkpoints.formats looks for them: a row is there when its first
pattern is, and then all of it is fetched. Shards are not listed, an index file names them."""

_EMBEDDED = "plm/"  # names of the models inside the package begin so
_INDEX = ".index.json"
_COMMIT = re.compile("[0-9a-f]{40}")


def resolve(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    subfolder: str | None = None,
    files: Sequence[str] | None = None,
) -> Path:
    """The place on disk that holds a model, fetched first if need be: for a path that path, else a folder.

    name_or_path: a path, when it is a `Path`, exists, or is written like one ("./x", "/x", "~/x", "a/b/c"), be it of a
    folder, a file or the prefix of a TensorFlow checkpoint; the name of a model inside the package ("plm/tiny-en");
    else a name on the hub ("bert-base-chinese", "owner/name").
    revision: branch, tag or commit on the hub, "main" when None. A full commit that is cached asks the hub nothing.
    token: access token; None takes HF_TOKEN or the stored login, False sends none.
    cache_dir: where downloads are kept instead of HF_HUB_CACHE.
    local_files_only: True takes what the cache has and opens no connection.
    subfolder: the folder inside the model that is meant.
    files: names or patterns of the files wanted from the hub, such as TOKENIZER_FILES (at least one has to be there);
    None wants config, tokenizer, what was learned, and the weights in the first format of WEIGHT_FILES.

    Raises CheckpointError for a path or embedded model that is not there, HubError for a download that failed,
    ConfigError for a revision of something that has none.
    """
    name = os.fspath(name_or_path)
    if is_path(name_or_path):
        folder = _existing(Path(name).expanduser())
    elif name.startswith(_EMBEDDED):
        folder = _embedded(name)
    else:
        request = Request(name=name, revision=revision or "main", token=token, cache_dir=cache_dir)
        return _resolve_on_hub(request, local_files_only=local_files_only, subfolder=subfolder, files=files)
    if revision is not None:
        raise ConfigError(f"{name}: revision {revision!r} was asked for, but only models on the hub have revisions")
    return _existing(folder / subfolder) if subfolder else folder


def is_path(name_or_path: str | Path) -> bool:
    """True for what `resolve` takes as a path, whether or not it exists; such a name is never looked up on a hub."""
    if isinstance(name_or_path, Path):
        return True
    written_as_path = name_or_path.startswith((".", "~")) or "\\" in name_or_path or name_or_path.count("/") > 1
    return written_as_path or Path(name_or_path).is_absolute() or _exists(name_or_path)


def _exists(path: str | Path) -> bool:
    """True for files, folders, and what names the files `path.index` and `path.data-...` of a TensorFlow checkpoint."""
    return os.path.exists(path) or os.path.exists(f"{path}.index")  # noqa: PTH110 - Path.exists raises on long names


def _existing(path: Path) -> Path:
    if _exists(path):
        return path
    nearest = next(parent for parent in path.absolute().parents if _exists(parent))
    siblings = [sibling.name for sibling in nearest.iterdir()] if nearest.is_dir() else []
    wanted = path.absolute().relative_to(nearest).parts[0]
    raise CheckpointError(f"{path}: no such file or folder in {nearest}{did_you_mean(wanted, siblings)}")


def _embedded(name: str) -> Path:
    shelf = resources.files("plm").joinpath("assets")
    known = {_EMBEDDED + entry.name: entry for entry in shelf.iterdir() if entry.is_dir()} if shelf.is_dir() else {}
    if name not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise CheckpointError(f"{name}: no such model inside plm{did_you_mean(name, known)} (there are: {listed})")
    return Path(str(known[name]))


def _resolve_on_hub(
    request: Request, *, local_files_only: bool, subfolder: str | None, files: Sequence[str] | None
) -> Path:
    from huggingface_hub import constants

    if local_files_only or constants.HF_HUB_OFFLINE:
        reason = "local_files_only=True" if local_files_only else "HF_HUB_OFFLINE is set"
        return _gather(Cache.open(request, reason), subfolder, files)
    if _COMMIT.fullmatch(request.revision):
        with contextlib.suppress(HubError):
            return _gather(Cache.open(request, "a commit never changes"), subfolder, files)
    try:
        hub = Hub.ask(request)
    except UnreachableError as error:
        cache = Cache.open(request, str(error))
        _log.warning("%s; using %s", error, cache)
        return _gather(cache, subfolder, files)
    return _gather(hub, subfolder, files)


def _gather(source: Hub | Cache, subfolder: str | None, files: Sequence[str] | None) -> Path:
    """Choose among the files of a source and fetch them; an index file brings the shards that it names."""
    prefix = f"{subfolder.strip('/')}/" if subfolder else ""
    names = {name.removeprefix(prefix) for name in source.names if name.startswith(prefix)}
    names = {name for name in names if "/" not in name}
    chosen = _choose(names, files)
    if not chosen:
        wanted = "none of " + ", ".join(files) if files is not None else "no weights in a format that plm reads"
        found = ", ".join(sorted(names)) or "nothing"
        raise HubError(f"{source}: {wanted} in {prefix or 'the top folder'} (there: {found})")
    folder = source.fetch([prefix + name for name in chosen]) / prefix
    shards = {shard for name in chosen if name.endswith(_INDEX) for shard in _shards(folder / name)}
    if not shards <= names:
        absent = ", ".join(sorted(shards - names))
        raise HubError(f"{source}: the index of the weights names {absent}, not there; fetch the model again")
    if shards:
        source.fetch([prefix + shard for shard in sorted(shards)])
    return folder


def _choose(names: Collection[str], files: Sequence[str] | None) -> list[str]:
    """The files to fetch, none when what is wanted is not there."""
    if files is not None:
        return _matching(names, files)
    for row in WEIGHT_FILES:
        if _matching(names, row[:1]):
            return _matching(names, (*CONFIG_FILES, *TOKENIZER_FILES, *LEARNED_FILES, *row))
    return []


def _matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    patterns = list(patterns)
    return sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def _shards(index: Path) -> set[str]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{index}: expected a 'weight_map' from tensor names to files")
    return set(map(str, weight_map.values()))
