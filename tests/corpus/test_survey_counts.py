"""Counting within bounded memory: exact while there is little, close and never misled when there is much."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.corpus.survey.block import sentence_hashes
from plm.corpus.survey.counts import HEAD_BYTES, Hashes, Heads, Histogram, Repeats, packed, quoted, unpacked


def hashes_of(values: np.ndarray) -> Hashes:
    """Hashes of sentences of two tokens, one for each value."""
    ids = np.stack([values % 30000, values // 30000], axis=1).ravel()
    return sentence_hashes(ids, np.full(len(values), 2))


def heads_of(values: np.ndarray) -> Heads:
    texts = b"".join(str(value).encode().ljust(HEAD_BYTES, b"\0") for value in values)
    return np.frombuffer(texts, dtype=np.uint8).reshape(-1, HEAD_BYTES)


def repeats_of(values: np.ndarray, *, memory: int) -> Repeats:
    repeats = Repeats(memory)
    for part in np.array_split(values, 50):
        repeats.add(hashes_of(part), heads_of(part))
    return repeats.settled()


@pytest.mark.parametrize("distinct_share", [1.0, 0.7, 0.05])
@pytest.mark.parametrize("seed", range(3))
def test_distinct_sentences_of_a_long_stream_are_estimated_within_a_few_percent(
    distinct_share: float, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    values = draw.integers(0, int(distinct_share * 200_000), 200_000) if distinct_share < 1 else np.arange(200_000)
    distinct = len(np.unique(values))
    repeats = repeats_of(values, memory=4096)
    assert 0 < repeats.error < 0.023
    assert repeats.distinct == pytest.approx(distinct, rel=3 * repeats.error)


def test_errors_are_as_large_as_is_said() -> None:
    off = []
    for seed in range(40):
        values = np.random.default_rng(seed).integers(0, 900_000_000, 6000)
        repeats = repeats_of(values, memory=256)
        off.append((repeats.distinct / len(np.unique(values)) - 1) / repeats.error)
    assert 0.6 < float(np.std(off)) < 1.4
    assert abs(float(np.mean(off))) < 0.5


def test_little_is_counted_exactly() -> None:
    values = np.random.default_rng(0).integers(0, 200, 3000)
    repeats = repeats_of(values, memory=4096)
    found, times = np.unique(values, return_counts=True)
    assert (repeats.distinct, repeats.error, repeats.lost) == (len(found), 0, 0)
    assert sorted(count for _, count in repeats.frequent(5)) == sorted(times)[-5:]


def test_the_most_frequent_sentences_are_found_among_many_that_come_once() -> None:
    stamps = np.repeat(np.arange(5), [4000, 3000, 2000, 1500, 1000])
    values = np.random.default_rng(0).permutation(np.concatenate([stamps, np.arange(100, 150_000)]))
    repeats = repeats_of(values, memory=16_384)
    assert repeats.lost <= len(values) / 1024
    assert [text for text, _ in repeats.frequent(5)] == ["0", "1", "2", "3", "4"]
    for (_, counted), times in zip(repeats.frequent(5), (4000, 3000, 2000, 1500, 1000), strict=True):
        assert times - repeats.lost <= counted <= times


def test_what_came_once_is_not_frequent() -> None:
    assert repeats_of(np.arange(100), memory=4096).frequent(5) == []


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(0, 1 << 40), min_size=1), cut=st.integers(0, 20))
def test_a_histogram_knows_sizes_within_a_fifth_of_a_percent(sizes: list[int], cut: int) -> None:
    histogram = Histogram.of(np.array(sizes[:cut], dtype=np.int64))
    histogram.merge(Histogram.of(np.array(sizes[cut:], dtype=np.int64)))
    assert (histogram.number, histogram.total, histogram.largest) == (len(sizes), sum(sizes), max(sizes))
    for share in (0.01, 0.5, 0.95, 1.0):
        exact = int(np.quantile(sizes, share, method="inverted_cdf"))
        assert exact * (1 - 1 / 512) <= histogram.quantile(share) <= exact
    for size in (0, 1, 511, 1022):
        assert histogram.above(size) == sum(one > size for one in sizes)
    for first, last, number in histogram.ranges():
        assert number == sum(first <= size <= last for size in sizes)
    assert sum(number for _, _, number in histogram.ranges()) == len(sizes)


def test_a_histogram_of_nothing_is_empty() -> None:
    histogram = Histogram()
    assert (histogram.mean, histogram.quantile(0.5), histogram.largest, histogram.ranges()) == (0, 0, 0, [])


def test_hashes_are_the_same_in_every_process() -> None:
    """The numbers stand in journals, so they may not change."""
    ids = np.array([5, 6, 7, 5, 6, 7, 6, 5])
    hashes = sentence_hashes(ids, np.array([3, 0, 2, 1, 2]))
    assert hashes.tolist() == [
        3148568286932255432,
        16294208416658607535,
        15029140091180102770,
        13309476754707697221,
        1766640539241499104,
    ]
    for kind in (np.uint16, np.int32, np.int64):
        assert (sentence_hashes(ids.astype(kind), np.array([3, 0, 2, 1, 2])) == hashes).all()


def test_hashes_tell_order_length_and_each_token() -> None:
    draw = np.random.default_rng(0)
    sentences = {tuple(draw.integers(0, 3, length).tolist()) for length in range(1, 9) for _ in range(3000)}
    ids = np.concatenate([np.array(sentence) for sentence in sentences])
    hashes = sentence_hashes(ids, np.array([len(sentence) for sentence in sentences]))
    assert len(set(hashes.tolist())) == len(sentences)
    again = sentence_hashes(np.array([1, 2, 0, 1, 2]), np.array([2, 1, 2]))
    assert again[0] == again[2]


def test_hashes_are_spread_evenly() -> None:
    hashes = hashes_of(np.arange(100_000))
    assert np.bincount(hashes >> np.uint64(60), minlength=16) == pytest.approx(np.full(16, 6250), abs=400)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", ""), ("short", "short"), ("a" * 47, "a" * 47), ("a" * 49, "a" * 47 + "…"), ("月" * 16, "月" * 15 + "…")],
)
def test_a_quote_ends_with_a_whole_character(text: str, said: str) -> None:
    head = np.frombuffer(text.encode()[:HEAD_BYTES].ljust(HEAD_BYTES, b"\0"), dtype=np.uint8)
    assert quoted(head) == said


def test_packed_numbers_come_back() -> None:
    numbers = np.array([0, 1, 2**64 - 1], dtype=np.uint64)
    assert (unpacked(packed(numbers), np.uint64) == numbers).all()
