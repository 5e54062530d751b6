"""Perplexity of mean losses."""

from __future__ import annotations

import math
import sys

import pytest

from plm.metrics.perplexity import perplexity


def test_it_is_the_number_of_equally_likely_words() -> None:
    assert perplexity(math.log(30522)) == pytest.approx(30522)
    assert perplexity(0.0) == 1.0


def test_large_losses_are_infinite_and_raise_nothing() -> None:
    largest = math.log(sys.float_info.max)
    assert math.isfinite(perplexity(largest))
    for loss in (math.nextafter(largest, math.inf), 1e9, math.inf):
        assert perplexity(loss) == math.inf
    assert math.isnan(perplexity(math.nan))
