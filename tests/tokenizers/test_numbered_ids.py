"""Ids by the numbers of words, against lists of lists."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.tokenizers.numbered_ids import NumberedIds

WORDS = st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=20)


def appended(store: NumberedIds, words: list[list[int]]) -> None:
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    store.append(np.array(list(itertools.chain.from_iterable(words)), dtype=np.int32), lengths)


@settings(deadline=None, max_examples=100)
@given(data=st.data(), batches=st.lists(WORDS, max_size=4))
def test_words_give_the_ids_that_they_were_given(data: st.DataObject, batches: list[list[list[int]]]) -> None:
    store, known = NumberedIds(), list[list[int]]()
    for words in batches:
        appended(store, words)
        known += words
        size = data.draw(st.integers(0, len(known)))
        store.truncate(size)
        del known[size:]
        assert len(store) == len(known)
        numbers = data.draw(st.lists(st.integers(0, size - 1), max_size=30)) if size else []
        ends = sorted(data.draw(st.lists(st.integers(0, len(numbers)), max_size=5)))
        ids, places = store.take(np.array(numbers, dtype=np.int32), np.array(ends, dtype=np.int64))
        assert ids.tolist() == [id_ for number in numbers for id_ in known[number]]
        assert places.tolist() == [sum(len(known[number]) for number in numbers[:end]) for end in ends]


def test_the_store_grows() -> None:
    store = NumberedIds()
    for start in range(0, 9000, 3000):
        appended(store, [[number, number] for number in range(start, start + 3000)])
    numbers = np.array([0, 2999, 8999], dtype=np.int32)
    assert store.take(numbers, np.zeros(0, dtype=np.int64))[0].tolist() == [0, 0, 2999, 2999, 8999, 8999]
