"""What is saved comes back bit by bit in every layout, and a save that fails leaves what was there."""

from __future__ import annotations

import errno
import itertools
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from plm.checkpoints.formats import safetensors as safetensors_format
from plm.checkpoints.loading import load_model
from plm.checkpoints.maps import MAPS
from plm.checkpoints.name_map import table_for
from plm.checkpoints.saving import TARGETS, save_model
from plm.config import read_json
from plm.errors import CheckpointError, ConfigError, UnknownNameError
from plm.heads.head import HEADS
from plm.heads.model import Model
from plm.models.families import FAMILIES
from tests.checkpoints.tiny_checkpoints import assert_same_parameters
from tests.tiny_models import FAMILY_NAMES, tiny_model


def storable() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every layout with every family and head that it has names for."""
    for layout in TARGETS:
        for family in FAMILY_NAMES:
            table = table_for(layout, family)
            for heads in ((), *((head,) for head in FAMILIES.get(family).heads)):
                if table and all(part in table.parts for head in heads for _, part in HEADS.get(head).parts):
                    yield layout, family, heads


@pytest.mark.parametrize(("layout", "family", "heads"), list(storable()))
def test_every_model_comes_back_bit_by_bit(layout: str, family: str, heads: tuple[str, ...], tmp_path: Path) -> None:
    model = tiny_model(family, *heads, hidden_act="gelu", layer_norm_eps=1e-7, id2label={0: "a", 1: "b", 2: "c"})
    files = save_model(model, tmp_path, layout=layout)
    assert sorted(files) == sorted(tmp_path.iterdir())
    again, report = load_model(tmp_path, heads=heads, dtype=None)
    assert_same_parameters(model, again)
    assert again.config == model.config
    assert (report.missing, report.mismatched, report.unused, report.ignored) == ((), (), (), {})


@pytest.mark.parametrize(
    ("layout", "family"), [("huggingface", "bert"), ("google-tf1", "nezha"), ("huawei", "tinybert")]
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_stored_as_it_is(layout: str, family: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_model(family, "masked_lm").to(dtype)
    save_model(model, tmp_path, layout=layout)
    assert_same_parameters(model, load_model(tmp_path, heads=("masked_lm",), dtype=None)[0])


@pytest.mark.parametrize("family", ["bert", "openai-gpt"])
def test_models_with_norms_in_front_and_output_tables_of_their_own_come_back(family: str, tmp_path: Path) -> None:
    model = tiny_model(family, "causal_lm", norm="pre", tie_word_embeddings=False, attention_pattern="causal")
    save_model(model, tmp_path)
    again, _ = load_model(tmp_path)
    assert_same_parameters(model, again)
    assert again.config == model.config


def test_several_heads_are_stored_together(tmp_path: Path) -> None:
    model = tiny_model("bert", "sequence_classification", "pretraining", "question_answering")
    save_model(model, tmp_path)
    again, _ = load_model(tmp_path)
    assert list(again.heads) == ["sequence_classification", "pretraining", "question_answering"]
    assert dict(again.state_dict()).keys() == dict(model.state_dict()).keys()
    assert_same_parameters(model, load_model(tmp_path, heads=tuple(model.heads))[0])


@pytest.mark.parametrize(
    ("layout", "family", "names"),
    [
        ("huggingface", "bert", {"config.json", "model.safetensors"}),
        ("huawei", "nezha", {"bert_config.json", "pytorch_model.bin"}),
        ("huawei", "tinybert", {"config.json", "pytorch_model.bin"}),
        ("google-tf1", "nezha", {"bert_config.json", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"}),
        ("openai", "openai-gpt", {"config.json", "params_shapes.json", *(f"params_{n}.npy" for n in range(10))}),
    ],
)
def test_files_have_the_names_that_readers_of_the_layout_expect(
    layout: str, family: str, names: set[str], tmp_path: Path
) -> None:
    save_model(tiny_model(family), tmp_path, layout=layout)
    assert {path.name for path in tmp_path.iterdir()} == names


def test_googles_config_has_no_keys_of_others_but_what_it_cannot_say(tmp_path: Path) -> None:
    save_model(tiny_model("nezha", hidden_act="gelu_new"), tmp_path / "plain", layout="google-tf1")
    content = read_json(tmp_path / "plain" / "bert_config.json")
    assert content["hidden_act"] == "gelu"  # the tanh form, in Google's code
    assert content["use_relative_position"] is True
    assert content["max_relative_position"] == 3
    assert not {"model_type", "architectures", "dtype", "layer_norm_eps", "is_decoder", "pad_token_id"} & content.keys()
    save_model(tiny_model("bert", pad_token_id=4, layer_norm_eps=1e-5), tmp_path / "other", layout="google-tf1")
    content = read_json(tmp_path / "other" / "bert_config.json")
    assert (content["hidden_act"], content["pad_token_id"], content["layer_norm_eps"]) == ("gelu_erf", 4, 1e-5)


@pytest.mark.parametrize(
    ("family", "heads", "prefix"),
    [
        ("bert", (), "embeddings."),
        ("bert", ("masked_lm",), "bert.embeddings."),
        ("nezha", ("masked_lm",), "nezha.embeddings."),
        ("tinybert", ("masked_lm",), "bert.embeddings."),
        ("openai-gpt", (), "tokens_embed."),
        ("openai-gpt", ("causal_lm",), "transformer.tokens_embed."),
    ],
)
def test_backbones_carry_the_prefix_of_transformers(
    family: str, heads: tuple[str, ...], prefix: str, tmp_path: Path
) -> None:
    save_model(tiny_model(family, *heads), tmp_path)
    assert any(name.startswith(prefix) for name in safetensors_format.read(tmp_path / "model.safetensors"))


# ------------------------------------------------------------------------------------------------ what is in the way


def test_a_layout_without_names_for_a_family_says_which_it_has(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'openai' has no names for bert \(it has: openai-gpt\)"):
        save_model(tiny_model("bert"), tmp_path / "new", layout="openai")
    with pytest.raises(CheckpointError, match=r"'google-tf1' has no name for 'final_norm\.weight'"):
        save_model(tiny_model("bert", norm="pre"), tmp_path / "new", layout="google-tf1")
    with pytest.raises(UnknownNameError, match=r"unknown layout to write 'hugginface'; did you mean 'huggingface'\?"):
        save_model(tiny_model("bert"), tmp_path / "new", layout="hugginface")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("heads", [("sequence_classification", "token_classification"), ("masked_lm", "pretraining")])
def test_heads_that_a_layout_gives_the_same_names_are_stored_apart(heads: tuple[str, ...], tmp_path: Path) -> None:
    model = tiny_model("bert", *heads).eval()
    save_model(model, tmp_path)
    assert_same_parameters(load_model(tmp_path)[0], model)


def test_a_head_of_another_name_is_refused(tmp_path: Path) -> None:
    model = tiny_model("bert", "sequence_classification")
    renamed = Model(model.config, model.backbone, {"mood": model.heads["sequence_classification"]})
    with pytest.raises(CheckpointError, match="'huggingface' has no names for the head 'mood'"):
        save_model(renamed, tmp_path)


def test_files_that_would_be_read_instead_are_not_left_in_the_way(tmp_path: Path) -> None:
    save_model(tiny_model("nezha"), tmp_path)
    with pytest.raises(CheckpointError, match=r"model\.safetensors would be read instead of what is to be written"):
        save_model(tiny_model("nezha"), tmp_path, layout="huawei")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json would be read instead"):
        save_model(tiny_model("nezha"), tmp_path, layout="huawei")
    (tmp_path / "config.json").unlink()
    save_model(tiny_model("nezha"), tmp_path, layout="huawei")
    save_model(tiny_model("nezha", seed=1), tmp_path)  # safetensors are read before pytorch_model.bin
    assert_same_parameters(load_model(tmp_path)[0], tiny_model("nezha", seed=1))


# ------------------------------------------------------------------------------------------------------------ shards


def test_large_models_become_shards_with_an_index(tmp_path: Path) -> None:
    model = tiny_model("bert", "masked_lm")
    files = save_model(model, tmp_path, max_shard_size=4000)
    shards = [path for path in files if path.suffix == ".safetensors"]
    assert len(shards) > 2
    assert [path.name for path in shards] == [
        f"model-{n:05}-of-{len(shards):05}.safetensors" for n in range(1, len(shards) + 1)
    ]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {
        "total_parameters": model.num_parameters(),
        "total_size": 4 * model.num_parameters(),
    }
    assert set(index["weight_map"].values()) == {path.name for path in shards}
    assert_same_parameters(load_model(tmp_path)[0], model)


@pytest.mark.parametrize("sizes", [(4000, 10**9), (10**9, 4000), (4000, 9000), (9000, 4000)])
def test_files_of_an_earlier_save_do_not_stay(sizes: tuple[int, int], tmp_path: Path) -> None:
    save_model(tiny_model("bert"), tmp_path, max_shard_size=sizes[0])
    (tmp_path / "notes.txt").write_text("mine")
    files = save_model(tiny_model("bert", seed=1), tmp_path, max_shard_size=sizes[1])
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in files} | {"notes.txt"}
    assert_same_parameters(load_model(tmp_path)[0], tiny_model("bert", seed=1))


def test_saving_into_the_folder_that_is_mapped(tmp_path: Path) -> None:
    save_model(tiny_model("bert"), tmp_path)
    mapped, _ = load_model(tmp_path)
    save_model(tiny_model("bert", seed=1), tmp_path)
    assert_same_parameters(mapped, tiny_model("bert"))
    save_model(mapped, tmp_path)
    assert_same_parameters(load_model(tmp_path)[0], tiny_model("bert"))


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_files_have_the_permissions_that_the_umask_gives(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        for layout, family in (("huggingface", "bert"), ("google-tf1", "bert"), ("openai", "openai-gpt")):
            for path in save_model(tiny_model(family), tmp_path / layout, layout=layout):
                assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask, path.name
    finally:
        os.umask(before)


# ---------------------------------------------------------------------------------------------------------- failures


class Failing:
    """Calls a function, but raises at one of the calls."""

    def __init__(self, function: object, error: BaseException, *, at: int) -> None:
        self.function, self.error, self.at, self.calls = function, error, at, 0

    def __call__(self, *arguments: object, **options: object) -> object:
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        return self.function(*arguments, **options)  # type: ignore[operator]


NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [NO_ROOM, KeyboardInterrupt()], ids=["disk-full", "ctrl-c"])
@pytest.mark.parametrize(("place", "name"), [(os, "replace"), (os, "fsync"), (safetensors_format, "raw_bytes")])
@pytest.mark.parametrize("max_shard_size", [10**9, 20000])
def test_a_save_that_fails_anywhere_leaves_the_old_model(
    place: object,
    name: str,
    error: BaseException,
    max_shard_size: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = tiny_model("bert", num_hidden_layers=1), tiny_model("bert", seed=1)
    save_model(old, tmp_path, max_shard_size=max_shard_size)
    before = {path.name for path in tmp_path.iterdir()}
    for at in range(1, 60):
        failing = Failing(getattr(place, name), error, at=at)
        with monkeypatch.context() as patch:
            patch.setattr(place, name, failing)
            try:
                save_model(new, tmp_path, max_shard_size=max_shard_size)
            except (CheckpointError, KeyboardInterrupt):
                assert failing.calls >= at
        if failing.calls < at:
            break
        assert_same_parameters(load_model(tmp_path)[0], old)
        assert {path.name for path in tmp_path.iterdir()} == before
    assert at > 2
    assert_same_parameters(load_model(tmp_path)[0], new)


def dies_while_saving(model: Model, folder: Path, *, at: int, max_shard_size: int) -> bool:
    """Save in a child process that stops dead at a certain renaming. False when the save ended before."""
    child = os.fork()
    if child == 0:
        rename, calls = os.replace, itertools.count(1)
        os.replace = lambda *paths: os._exit(1) if next(calls) == at else rename(*paths)  # type: ignore[assignment]
        try:
            save_model(model, folder, max_shard_size=max_shard_size)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] != 0


def name_of(folder: Path, models: dict[str, Model]) -> str:
    """Which of some models a folder holds."""
    try:
        loaded = dict(load_model(folder)[0].named_parameters())
    except (CheckpointError, ConfigError):
        return "none"
    for name, model in models.items():
        if all(torch.equal(loaded[key], parameter) for key, parameter in model.named_parameters()):
            return name
    return "a mixture"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process has to die half way")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork beside threads: the child only saves
@pytest.mark.parametrize("max_shard_size", [10**9, 20000])
def test_a_process_that_dies_while_it_saves_never_leaves_a_mixture(max_shard_size: int, tmp_path: Path) -> None:
    models = {"old": tiny_model("bert"), "new": tiny_model("bert", seed=1)}
    found = []
    for at in itertools.count(1):
        folder = tmp_path / str(at)
        save_model(models["old"], folder, max_shard_size=max_shard_size)
        died = dies_while_saving(models["new"], folder, at=at, max_shard_size=max_shard_size)
        found.append(name_of(folder, models))
        if not died:
            break
    assert found[0] == "old"
    assert found[-1] == "new"
    assert "a mixture" not in found


def test_a_first_save_that_fails_leaves_nothing_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors_format, "raw_bytes", Failing(safetensors_format.raw_bytes, NO_ROOM, at=5))
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_model(tiny_model("bert"), tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises((CheckpointError, ConfigError)):
        load_model(tmp_path / "new")


def test_only_tables_that_list_a_layout_are_written() -> None:
    assert {name for name, table in MAPS.items() if table.layouts} == {
        "google-tf1", "huggingface", "huggingface-gpt1", "openai",
    }  # fmt: skip
