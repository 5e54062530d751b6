"""A third party adds a model family and a head from outside the package, with the calls that plm itself uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plm.blocks.activations import ACTIVATIONS
from plm.blocks.block import BlockConfig
from plm.blocks.embeddings import Embeddings
from plm.blocks.kernels import DotProduct
from plm.blocks.linear import Linear
from plm.blocks.tap import Tap
from plm.config import from_dict, require_positive, to_dict
from plm.errors import ConfigError, UnknownNameError
from plm.heads.head import HEADS, HeadSpec, Targets, never
from plm.heads.model import Model, build_model
from plm.heads.output import LogitsOutput
from plm.models.backbone import Backbone, Encoding
from plm.models.config import ModelConfig
from plm.models.families import FAMILIES
from plm.models.family import Family
from plm.models.init import initialize
from tests.tiny_models import gradients, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

# ---- what the third party writes


@dataclass(frozen=True, kw_only=True)
class ReversedConfig(ModelConfig):
    """A pre-norm encoder with an activation of its own.

    gain: what the activation multiplies by.
    """

    model_type: ClassVar[str] = "reversed"

    hidden_act: str = "outside_square"
    gain: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "gain")


def build_reversed(config: ReversedConfig, *, pooler: bool = True) -> Backbone:
    """Learned positions, no token types, pre-norm blocks twice as wide as the config says."""
    return Backbone(
        embeddings=Embeddings(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            positions=config.max_position_embeddings,
            token_types=0,
            norm_eps=None,
            dropout=config.hidden_dropout_prob,
        ),
        block=BlockConfig(
            hidden_size=config.hidden_size,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.gain * config.intermediate_size,
            activation=config.hidden_act,
            norm_eps=config.layer_norm_eps,
            dropout=config.hidden_dropout_prob,
            attention_dropout=config.attention_probs_dropout_prob,
            norm="pre",
        ),
        layers=config.num_hidden_layers,
        kernel=DotProduct(),
        pooler=pooler,
        pad_token_id=config.pad_token_id,
    )


class TextLength(nn.Module):
    """Guesses how long a text is from its last token. lengths: (batch,), floating."""

    targets = ("lengths",)

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.guess = Linear(hidden_size, 1)

    def forward(self, encoding: Encoding, targets: Targets) -> LogitsOutput:
        """Logits: (batch,)."""
        logits: Tensor = self.guess(encoding.last_tokens).squeeze(-1)
        return LogitsOutput(
            logits=logits, loss=F.mse_loss(logits, targets["lengths"]) if "lengths" in targets else None
        )


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """The three calls, and the way back."""
    ACTIVATIONS.add("outside_square", lambda hidden: hidden.relu().square())
    FAMILIES.add("reversed", Family(config=ReversedConfig, build=build_reversed, heads=("masked_lm", "text_length")))
    HEADS.add(
        "text_length",
        HeadSpec(
            build=lambda config: TextLength(config.hidden_size),
            needs_pooler=never,
            parts=(("guess", "text_length"),),
            architecture="ForTextLength",
        ),
    )
    yield
    ACTIVATIONS.remove("outside_square")
    FAMILIES.remove("reversed")
    HEADS.remove("text_length")


# ---- what they get for it

IDS, MASK = random_ids(3, 6), mask_of(6, (0, 6), (0, 2), (3, 6))


def config() -> ReversedConfig:
    """Tiny, from what a config.json would hold."""
    values = {
        "vocab_size": 31,
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 10,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return from_dict(FAMILIES.get("reversed").config, values)  # type: ignore[return-value]


def model(*heads: str) -> Model:
    """Initialised, in training mode."""
    made = build_model(config(), heads)
    initialize(made, std=0.3, generator=torch.Generator().manual_seed(0))
    return made


def test_their_config_is_as_strict_as_ours() -> None:
    assert from_dict(ReversedConfig, to_dict(config())) == config()
    with pytest.raises(ConfigError, match=r"unknown field 'gian'; did you mean 'gain'\?"):
        from_dict(ReversedConfig, {**to_dict(config()), "gian": 3})
    with pytest.raises(ConfigError, match="gain: expected a positive integer, got 0"):
        from_dict(ReversedConfig, {**to_dict(config()), "gain": 0})


def test_their_family_is_built_by_their_builder() -> None:
    made = model()
    assert made.backbone.blocks[0].feed_forward.up.out_features == 20
    assert made(IDS, MASK)["pooler_output"].shape == (3, 12)


@pytest.mark.parametrize("head", ["text_length", "masked_lm"])
def test_their_head_and_ours_train_on_their_family_packed_and_padded(head: str) -> None:
    made, results = model(head), []
    targets = {"lengths": MASK.sum(1).float()} if head == "text_length" else {"labels": IDS}
    for inside in (True, False):
        with packing(inside=inside):
            output = made(IDS, MASK, **targets)
        results.append((output["loss"], gradients(made, output["loss"])))
    (packed, packed_gradients), (padded, padded_gradients) = results
    assert_close(packed, padded)
    for name, gradient in packed_gradients.items():
        assert_close(gradient, padded_gradients[name], factor=3)
    assert any(name.startswith(f"heads.{head}.") for name in packed_gradients)


def test_their_head_goes_on_our_families() -> None:
    output = tiny_model("nezha", "text_length", "masked_lm")(IDS, MASK, lengths=MASK.sum(1).float())
    assert output["logits"].shape == (3,)
    assert output["loss"].isfinite()


def test_their_names_are_suggested_and_tapped_like_ours() -> None:
    made, tap_name = model("text_length"), "blocks.1.scores"
    tap = Tap(made, tap_name)
    made(IDS, MASK, tap=tap)
    assert tap[tap_name].shape == (3, 3, 6, 6)
    with pytest.raises(UnknownNameError, match=r"text_length takes no target 'length'; did you mean 'lengths'\?"):
        made(IDS, MASK, length=MASK.sum(1))
    with pytest.raises(UnknownNameError, match=r"unknown model_type 'reverse'; did you mean 'reversed'\?"):
        FAMILIES.get("reverse")


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ConfigError, match="model_type 'bert' is registered already"):
        FAMILIES.add("bert", FAMILIES.get("reversed"))
    with pytest.raises(ConfigError, match="head 'masked_lm' is registered already"):
        HEADS.add("masked_lm", HEADS.get("text_length"))
