"""Caches of features: equal, mapped, renewed when anything changes, rebuilt when damaged."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

import plm
from plm.auto.tokenizer import AutoTokenizer
from plm.data import cache
from plm.data.cache import StoredFeatures, cached, default_folder, fingerprint
from plm.data.features.classification import Feature
from plm.errors import ConfigError, DataError
from plm.tokenizers import Tokenizer

FEATURES = [
    Feature([101, index, 30521, 102], [0, 0, 1, 1] if index % 3 else None, index % 2, index) for index in range(50)
]


def build() -> Iterator[Feature]:
    return iter(FEATURES)


def fail() -> list[Feature]:
    raise AssertionError("built although the cache has it")


@pytest.fixture
def tokenizer() -> Tokenizer:
    return AutoTokenizer.from_pretrained("plm/tiny-en")


def test_features_are_built_once_and_come_back_equal(tmp_path: Path) -> None:
    first = cached(Feature, build, key="k", folder=tmp_path)
    second = cached(Feature, fail, key="k", folder=tmp_path)
    assert list(first) == list(second) == FEATURES
    assert isinstance(second, StoredFeatures)


def test_the_view_is_a_sequence(tmp_path: Path) -> None:
    view = cached(Feature, build, key="k", folder=tmp_path)
    assert len(view) == 50
    assert view[7] == FEATURES[7]
    assert view[-1] == FEATURES[-1]
    for part in (slice(3, 9), slice(None, None, -7), slice(40, 90), slice(9, 3)):
        assert view[part] == FEATURES[part]
    assert FEATURES[9] in view
    assert isinstance(view, StoredFeatures)
    assert view.lengths("input_ids").tolist() == [4] * 50
    with pytest.raises(IndexError):
        view[50]
    for field in ("index", "nothing"):
        with pytest.raises(ConfigError, match="is no field of these features that holds a list"):
            view.lengths(field)


def test_no_features_are_features_too(tmp_path: Path) -> None:
    for _ in range(2):
        assert list(cached(Feature, list, key="k", folder=tmp_path)) == []


def test_more_features_than_are_packed_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_AT_A_TIME", 7)
    view = cached(Feature, build, key="k", folder=tmp_path)
    assert list(view) == FEATURES == [view[place] for place in range(50)]


def test_without_folder_nothing_is_kept() -> None:
    assert cached(Feature, build, key="k", folder=None) == FEATURES


def test_another_key_or_kind_is_another_cache(tmp_path: Path) -> None:
    cached(Feature, build, key="k", folder=tmp_path)
    assert len(cached(Feature, lambda: FEATURES[:3], key="l", folder=tmp_path)) == 3
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_cache_is_rebuilt_with_a_line_in_the_log(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cached(Feature, build, key="k", folder=tmp_path)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-10] ^= 1
    path.write_bytes({"cut": content[:-20], "flip": content, "empty": b"", "other": b"\0" * 64}[damage])
    with caplog.at_level(logging.WARNING):
        assert list(cached(Feature, build, key="k", folder=tmp_path)) == FEATURES
    assert len(caplog.records) == 1
    assert "is damaged" in caplog.text
    assert list(cached(Feature, fail, key="k", folder=tmp_path)) == FEATURES


def test_a_folder_that_cannot_be_written_costs_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        assert list(cached(Feature, build, key="k", folder=tmp_path / "file")) == FEATURES
    assert "cannot be cached" in caplog.text


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Feature]:
        yield FEATURES[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(Feature, interrupted, key="k", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached(Feature, build, key="k", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def write_and_compare(folder: Path) -> None:
    for number in range(20):
        assert list(cached(Feature, build, key=str(number), folder=folder)) == FEATURES


def test_several_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_and_compare, args=(tmp_path,)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 20


def test_a_field_of_another_type_is_refused(tmp_path: Path) -> None:
    wrong = Feature([1, 2.0], None, None, 0)  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"feature.input_ids.0.item: expected int, got float|expected int, got float"):
        cached(Feature, lambda: [wrong], key="k", folder=tmp_path)


def test_the_fingerprint_depends_on_everything_that_features_depend_on(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("one\t1\n", encoding="utf-8")

    def made(**options: object) -> str:
        return fingerprint(files=[path], tokenizer=tokenizer, options={"max_length": 128} | options)

    seen = [made()]
    tokenizer(["a longer text"], max_length=5, padding="max_length")
    assert made() == seen[0]  # the last call leaves no trace
    seen.append(made(max_length=64))
    tokenizer.truncation_side = "left"
    seen.append(made())
    tokenizer.parse_special_tokens = True
    seen.append(made())
    tokenizer.add_tokens(["plmplm"])
    seen.append(made())
    path.write_text("one\t2\n", encoding="utf-8")
    seen.append(made())
    monkeypatch.setattr(plm, "__version__", "99")
    seen.append(made())
    assert len(set(seen)) == len(seen)


def test_a_folder_counts_with_all_files_in_it(tmp_path: Path, tokenizer: Tokenizer) -> None:
    def made() -> str:
        return fingerprint(files=[tmp_path / "data"], tokenizer=tokenizer, options={})

    (tmp_path / "data" / "inner").mkdir(parents=True)
    (tmp_path / "data" / "seq.in").write_text("a", encoding="utf-8")
    first = made()
    (tmp_path / "data" / "inner" / "label").write_text("b", encoding="utf-8")
    second = made()
    (tmp_path / "data" / "inner" / "label").rename(tmp_path / "data" / "inner" / "labels")
    assert len({first, second, made()}) == 3
    with pytest.raises(DataError, match=r"nowhere\.tsv: cannot be read"):
        fingerprint(files=[tmp_path / "nowhere.tsv"], tokenizer=tokenizer, options={})


def test_the_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "plm" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "plm" / "features"
