"""Bands of distances: what goes into the scores, what comes out, and how the work is cut."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.blocks.distance_band import Block, Geometry
from tests.tolerances import assert_close

SIZE = 3

geometries = st.builds(
    Geometry,
    batch=st.integers(1, 3),
    heads=st.integers(1, 3),
    queries=st.integers(1, 12),
    keys=st.integers(1, 12),
    radius=st.integers(0, 6),
    is_causal=st.booleans(),
    offset=st.integers(0, 9),
    rows=st.integers(1, 5),
)


def blocks_of(geometry: Geometry) -> list[Block]:
    generator = torch.Generator().manual_seed(0)
    table = Block.extend(torch.randn(2 * geometry.radius + 1, SIZE, generator=generator), geometry)
    shape = (geometry.batch, geometry.heads)
    memory = torch.full((geometry.batch * geometry.heads * Block.band_size(geometry),), torch.nan)
    return [Block(geometry, rows=rows, shape=shape, table=table, memory=memory) for rows in geometry.blocks()]


def table_by_key(geometry: Geometry, block: Block) -> Tensor:
    """The row of the table for every pair of a block: (rows, keys, size)."""
    table = torch.randn(2 * geometry.radius + 1, SIZE, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(geometry.offset + block.rows.start, geometry.offset + block.rows.stop)
    distances = torch.arange(block.keys) - rows[:, None]
    return table[distances.clamp(-geometry.radius, geometry.radius) + geometry.radius]


def seen(geometry: Geometry, block: Block) -> Tensor:
    """(rows, keys), bool: all, or those up to the row."""
    count = block.rows.stop - block.rows.start
    everything = torch.ones(count, block.keys, dtype=torch.bool)
    return everything.tril(geometry.offset + block.rows.start) if geometry.is_causal else everything


@settings(deadline=None, max_examples=60)
@given(geometries)
def test_spread_gives_each_key_the_number_of_its_distance(geometry: Geometry) -> None:
    for block in blocks_of(geometry):
        rows = torch.randn(block.slices, block.shape[-1], SIZE)
        bias = torch.randn(geometry.batch, 1, 1, block.keys)
        scores = torch.full((block.slices, block.shape[-1], block.keys), torch.nan)
        block.spread(rows, scores, bias=bias, hide=True)
        expected = torch.einsum("nid,ijd->nij", rows, table_by_key(geometry, block))
        expected = block.unflatten(expected) + bias
        assert_close(block.unflatten(scores), expected.masked_fill(~seen(geometry, block), -torch.inf))


@settings(deadline=None, max_examples=60)
@given(geometries)
def test_mix_sums_the_table_over_keys(geometry: Geometry) -> None:
    for block in blocks_of(geometry):
        scores = torch.randn(block.slices, block.shape[-1], block.keys) * seen(geometry, block)
        assert_close(block.mix(scores), torch.einsum("nij,ijd->nid", scores, table_by_key(geometry, block)))


@settings(deadline=None)
@given(geometries, st.sampled_from([1, 1 << 14, 1 << 18, 1 << 24]))
def test_parts_and_blocks_cover_everything_once(geometry: Geometry, element_size: int) -> None:
    """The larger the elements, the smaller the parts."""
    times = torch.zeros(geometry.batch, geometry.heads, geometry.queries)
    parts = geometry.parts(element_size)
    for part in parts:
        for rows in geometry.blocks():
            part.of(times)[:, :, rows] += 1
    assert (times == 1).all()
    first = parts[0].shape
    assert all(sequences <= first[0] and heads <= first[1] for sequences, heads in (part.shape for part in parts))


def test_a_gpu_gets_few_large_parts() -> None:
    query = torch.empty(8, 12, 512, 64, dtype=torch.bfloat16, device="meta")
    geometry = Geometry.of(query, keys=512, radius=64, is_causal=False, offset=0, block_rows=None)
    assert len(list(geometry.blocks())) == 1
    assert len(geometry.parts(2)) == 1
