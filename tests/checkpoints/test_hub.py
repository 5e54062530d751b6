"""Names become folders: what is a path, what is inside the package, and which files of a hub model are wanted."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from plm.checkpoints import hub as module
from plm.checkpoints.formats import find_weights
from plm.checkpoints.hub import CONFIG_FILES, TOKENIZER_FILES, is_path, resolve
from plm.errors import CheckpointError, ConfigError
from tests.golden_files import checkpoints_root


def test_a_path_opens_no_socket_and_loads_no_client(tmp_path: Path) -> None:
    program = """
import socket, sys
from plm.checkpoints.hub import resolve
def refuse(*arguments): raise SystemExit("opened a socket")
socket.socket = socket.getaddrinfo = refuse
print(resolve(sys.argv[1]))
assert "huggingface_hub" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(tmp_path), done.stderr


@pytest.mark.parametrize("name", ["./model", "../model", "/models/bert", "~/bert", "a/b/c", "a\\b", "model/sub/", "."])
def test_what_is_written_like_a_path_is_one(name: str) -> None:
    assert is_path(name)


@pytest.mark.parametrize("name", ["bert-base-chinese", "owner/model", "owner/model.v1", "", "x" * 300])
def test_what_is_not_written_like_a_path_is_one_only_when_it_exists(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_path(name)
    if 0 < len(name) < 100:
        (tmp_path / name).mkdir(parents=True)
        assert is_path(name)
        assert resolve(name) == Path(name)
    assert is_path(Path(name))


def test_a_missing_path_names_the_nearest_sibling_and_never_asks_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bert-large").mkdir()
    (tmp_path / "vocab.txt").touch()
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(CheckpointError, match=r"bert-lrage: no such file or folder in .*; did you mean 'bert-large'\?"):
        resolve(tmp_path / "bert-lrage")
    with pytest.raises(CheckpointError, match=r"weights: no such file or folder in .*bert-large"):
        resolve(tmp_path / "bert-large", subfolder="weights")
    with pytest.raises(CheckpointError, match=r"no such file or folder in .*vocab\.txt"):
        resolve(f"{tmp_path}/vocab.txt/model")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="did you mean 'bert-large'"):
        resolve("./bert-larg/model")


def test_paths_and_subfolders_come_back_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "model" / "w.npz").touch()
    assert resolve(tmp_path / "model", subfolder="sub") == tmp_path / "model" / "sub"
    assert resolve(tmp_path / "model" / "w.npz") == tmp_path / "model" / "w.npz"
    (tmp_path / "model" / "bert_model.ckpt.index").touch()
    assert resolve(tmp_path / "model" / "bert_model.ckpt") == tmp_path / "model" / "bert_model.ckpt"
    monkeypatch.chdir(tmp_path)
    assert resolve("model/bert_model.ckpt") == Path("model/bert_model.ckpt")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/model") == tmp_path / "model"


def test_a_revision_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only models on the hub have revisions"):
        resolve(tmp_path, revision="v1")


def test_embedded_models_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "assets" / "tiny-xx").mkdir(parents=True)
    monkeypatch.setattr(module.resources, "files", lambda package: tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket, "socket", None)
    assert resolve("plm/tiny-xx") == tmp_path / "assets" / "tiny-xx"
    with pytest.raises(CheckpointError, match=r"plm/tiny-xy: no such model inside plm; did you mean 'plm/tiny-xx'\?"):
        resolve("plm/tiny-xy")
    with pytest.raises(CheckpointError, match="there are: plm/tiny-xx"):
        resolve("plm/..")


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"], ["pytorch_model.bin"]),
        (["tf_model.h5", "optimizer.pt", "faiss.index"], ["tf_model.h5"]),
        (
            ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.meta", "checkpoint"],
            ["bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index"],
        ),
        (["mindspore.ckpt", "notes.md"], ["mindspore.ckpt"]),
        (
            ["params_shapes.json", "params_0.npy", "params_1.npy"],
            ["params_0.npy", "params_1.npy", "params_shapes.json"],
        ),
        (["training_args.bin", "README.md"], []),
    ],
)
def test_formats_are_chosen_in_order(there: list[str], chosen: list[str]) -> None:
    assert module._choose(there, None) == chosen


FOLDERS = [path for path in sorted(checkpoints_root().glob("*/")) if (path / "golden.npz").is_file()]
NOT_ON_A_HUB = {"palm_bert_fluid_dir"}  # a folder with a file for each tensor, which is opened by path only


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_would_be_fetched_is_what_would_be_read(folder: Path, tmp_path: Path) -> None:
    if folder.name in NOT_ON_A_HUB:
        pytest.skip("not a layout for a hub")
    names = {path.name for path in folder.iterdir()}
    chosen = module._choose(names, None)
    for index in [name for name in chosen if name.endswith(".index.json")]:
        chosen += module._shards(folder / index)
    for name in chosen:
        (tmp_path / name).symlink_to(folder / name)
    (whole, entry), (fetched, fetched_entry) = find_weights(folder), find_weights(tmp_path)
    assert (whole.name, entry.relative_to(folder)) == (fetched.name, fetched_entry.relative_to(tmp_path))
    assert set(chosen) >= names & {*CONFIG_FILES, *TOKENIZER_FILES}
