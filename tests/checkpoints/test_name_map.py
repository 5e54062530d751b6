"""Every table can be read both ways: writing what was read gives the same bits under the same names, and back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.checkpoints.loading import parts_of
from plm.checkpoints.maps import MAPS
from plm.checkpoints.name_map import NameMap, Rule, expand, score, table_for, write_part
from plm.checkpoints.saving import TARGETS
from plm.checkpoints.transforms import DROP_LEADING_ONE, TRANSPOSE
from plm.errors import CheckpointError, ShapeError
from plm.models.families import FAMILIES
from tests.tiny_models import tiny_model

TABLES = [
    pytest.param(table, family, id=f"{name}-{family}") for name, table in MAPS.items() for family in table.families
]


def storable(table: NameMap, family: str) -> list[tuple[str, ...]]:
    """The heads of a family, alone, for all of whose parts a table has names; and none."""
    choices = [(), *((head,) for head in FAMILIES.get(family).heads)]
    return [
        heads for heads in choices if all(part in table.parts for _, part in parts_of({head: head for head in heads}))
    ]


def states(
    table: NameMap, family: str, heads: tuple[str, ...], **sizes: int
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each part of a random model, with our tensors; its output table is its own where the table has a name for it."""
    is_tied = not any(
        rule.tied_to for _, part in parts_of({head: head for head in heads}) for rule in table.parts[part]
    )
    state = tiny_model(family, *heads, tie_word_embeddings=is_tied, **sizes).state_dict()
    for prefix, part in parts_of({head: head for head in heads}):
        yield part, {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def read_part(table: NameMap, part: str, theirs: dict[str, Tensor], *, count: int) -> dict[str, Tensor]:
    ours: dict[str, Tensor] = {}
    for rule, number in expand(table.parts[part], count):
        if rule.theirs_at(number) in theirs:
            ours |= zip(rule.ours_at(number), rule.read(theirs[rule.theirs_at(number)]), strict=True)
    return ours


@pytest.mark.parametrize(("table", "family"), TABLES)
@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_reading_undoes_writing_and_writing_undoes_reading(table: NameMap, family: str, data: st.DataObject) -> None:
    layers, words = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 9))
    attention_heads, head_size = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))
    sizes = {
        "hidden_size": attention_heads * head_size,
        "num_attention_heads": attention_heads,
        "num_hidden_layers": layers,
        "vocab_size": words,
        "intermediate_size": words + 1,
    }
    heads = data.draw(st.sampled_from(storable(table, family)))
    for part, state in states(table, family, heads, **sizes):
        ours = {name: tensor.to(dtype) for name, tensor in state.items()}
        theirs = write_part(table, part, ours, count=layers + 1, prefix="")
        again = read_part(table, part, theirs, count=layers + 1)
        assert set(again) == set(ours)
        assert all(torch.equal(again[name], ours[name]) for name in ours)
        rewritten = write_part(table, part, again, count=layers + 1, prefix="")
        assert list(rewritten) == list(theirs)
        assert all(torch.equal(rewritten[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(("table", "family"), TABLES)
def test_a_table_knows_every_name_that_it_writes(table: NameMap, family: str) -> None:
    for heads in storable(table, family):
        for part, state in states(table, family, heads):
            for prefix in table.prefixes_of(part):
                front = prefix.replace("*", "some_task.")
                for name in write_part(table, part, state, count=3, prefix=front):
                    assert any(place.part == part and place.prefix == front for place in table.places(name)), name


@pytest.mark.parametrize("name", MAPS.names())
def test_numbers_stand_on_both_sides_of_a_rule(name: str) -> None:
    for rules in MAPS.get(name).parts.values():
        for rule in rules:
            assert len({"{n}" in text for text in (rule.theirs, *rule.aliases, *rule.names)}) == 1, rule


@pytest.mark.parametrize("name", MAPS.names())
def test_no_two_tensors_of_a_part_share_a_name(name: str) -> None:
    for rules in MAPS.get(name).parts.values():
        theirs = [rule.theirs for rule in rules]
        assert len(set(theirs)) == len(theirs)


@pytest.mark.parametrize("name", MAPS.names())
def test_a_table_is_registered_under_its_name_and_for_layouts_that_exist(name: str) -> None:
    assert MAPS.get(name).name == name
    assert set(MAPS.get(name).layouts) <= set(TARGETS.names())


def test_every_layout_has_a_table_for_some_family() -> None:
    for layout in TARGETS:
        assert any(table_for(layout, family) for family in FAMILIES)
    assert table_for("openai", "bert") is None


def test_a_fused_matrix_that_cannot_be_cut_is_refused() -> None:
    rule = Rule(("query", "key", "value"), "c_attn", (TRANSPOSE,))
    assert [tuple(part.shape) for part in rule.read(torch.zeros(4, 6))] == [(2, 4)] * 3
    with pytest.raises(ShapeError, match=r"\(5, 4\) cannot be cut into 3 equal parts"):
        rule.read(torch.zeros(4, 5))
    with pytest.raises(ShapeError, match=r"shape \(4,\) cannot be read as query"):
        rule.read(torch.zeros(4))


def test_transforms_are_undone_in_reverse_order() -> None:
    rule = Rule("up.weight", "w", (DROP_LEADING_ONE, TRANSPOSE))
    theirs = torch.randn(1, 2, 3)
    (ours,) = rule.read(theirs)
    assert ours.shape == (3, 2)
    assert torch.equal(rule.write([ours]), theirs)


def test_only_one_number_of_a_name_is_that_of_the_block() -> None:
    palm = MAPS.get("palm")
    (place,) = palm.places("encoder_layer_11_ffn_fc_0.w_0")
    assert (place.rule.names, place.number) == (("blocks.{n}.feed_forward.up.weight",), 11)
    assert not palm.knows("encoder_layer_11_ffn_fc_5.w_0")
    assert not palm.knows("encoder_layer_011_ffn_fc_0.w_0")
    assert not palm.knows("encoder_layer_٣_ffn_fc_0.w_0")


def test_wrappers_are_taken_off_one_behind_the_other() -> None:
    table = MAPS.get("huggingface")
    name = "bert.embeddings.word_embeddings.weight"
    assert table.unwrap(f"module._orig_mod.{name}") == ("module._orig_mod.", name)
    assert table.unwrap(name) == ("", name)
    assert table.unwrap("model.loss.weight") == ("model.", "loss.weight")


def test_old_spellings_are_read_at_the_end_of_names_only() -> None:
    table = MAPS.get("huggingface")
    assert table.spell("bert.embeddings.LayerNorm.gamma") == "bert.embeddings.LayerNorm.weight"
    assert table.spell("gamma.beta.weight") == "gamma.beta.weight"


def test_the_share_of_known_names_leaves_ignored_ones_out() -> None:
    table = MAPS.get("google-tf1")
    names = ["bert/pooler/dense/bias", "bert/pooler/dense/bias/adam_m", "global_step", "nobody/knows"]
    assert score(names, table) == 0.5
    assert score([], table) == 0.0


def test_a_tensor_without_a_name_is_not_dropped() -> None:
    with pytest.raises(
        CheckpointError, match=r"'google-tf1' has no name for 'final_norm.weight' of the part 'backbone'"
    ):
        write_part(MAPS.get("google-tf1"), "backbone", {"final_norm.weight": torch.ones(2)}, count=1, prefix="")


def test_a_part_that_a_table_does_not_know_keeps_our_names() -> None:
    written = write_part(MAPS.get("huggingface"), "scorer", {"up.weight": torch.ones(2, 2)}, count=1, prefix="")
    assert list(written) == ["scorer.up.weight"]
