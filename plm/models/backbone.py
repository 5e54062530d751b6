"""The backbone: the only forward pass of a model, from token ids to hidden states."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from plm.blocks import varlen
from plm.blocks.block import Block, BlockConfig
from plm.blocks.cache import KeyValueCache
from plm.blocks.embeddings import Embeddings
from plm.blocks.kernels import DotProduct, Kernel
from plm.blocks.layout import Layout, Packed, Padded, Pattern
from plm.blocks.linear import Linear
from plm.blocks.tap import Tap
from plm.errors import ShapeError

# Below this share of live tokens packing pays; above it, rectangles are as good and need no bookkeeping.
PACK_BELOW = 0.95


@dataclass(frozen=True)
class Encoding:
    """What a backbone hands to heads.

    hidden: states after the last block, in the layout: (batch, length, hidden) or (tokens, hidden).
    pooled: (batch, hidden), or None for a backbone without pooler.
    word_embeddings: (vocab_size, hidden), the table that tied heads multiply by.
    leading: leading dimensions of the caller's input_ids, such as (batch, choices); the backbone sees them flattened.
    """

    hidden: Tensor
    layout: Layout
    pooled: Tensor | None
    word_embeddings: Tensor
    leading: tuple[int, ...]

    def rows(self, values: Tensor) -> Tensor:
        """A tensor by the caller's tokens, (*leading, length, ...), in the layout of `hidden`."""
        return self.layout.rows(values.flatten(0, len(self.leading) - 1))

    def restore(self, rows: Tensor) -> Tensor:
        """A tensor in the layout of `hidden` by the caller's tokens, (*leading, length, ...)."""
        return self.by_text(self.layout.restore(rows))

    def by_text(self, values: Tensor) -> Tensor:
        """(batch, ...) -> (*leading, ...)."""
        return torch.unflatten(values, 0, self.leading) if len(self.leading) > 1 else values

    def positions_of(self, chosen: Tensor) -> Tensor:
        """Indices into the flattened rows of `hidden` of the chosen ones, in the caller's order of tokens.

        chosen: bool, in the layout of `hidden`.
        """
        place = chosen.flatten().nonzero().flatten()
        if isinstance(self.layout, Packed) and self.layout.index is not None:
            return place[self.layout.index[place].argsort()]
        return place

    @property
    def last_hidden_state(self) -> Tensor:
        """(*leading, length, hidden); zeros at padding when the batch was packed inside."""
        return self.restore(self.hidden)

    @property
    def first_tokens(self) -> Tensor:
        """(batch, hidden), state of each text's first live token."""
        return self.layout.first_tokens(self.hidden)

    @property
    def last_tokens(self) -> Tensor:
        """(batch, hidden), state of each text's last live token."""
        return self.layout.last_tokens(self.hidden)


class Pooler(nn.Module):
    """tanh of a linear layer on the first token. Source: Devlin et al. 2019."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, hidden_size)

    def forward(self, first_tokens: Tensor) -> Tensor:
        """(batch, hidden) -> (batch, hidden)."""
        return torch.tanh(self.dense(first_tokens))


class Backbone(nn.Module):
    """Embeddings, blocks, and a pooler if the family has one.

    pattern: who may attend to whom when a call does not say.
    pad_token_id: without an attention_mask, tells where a text ends; never what attention sees.
    """

    def __init__(
        self,
        *,
        embeddings: Embeddings,
        block: BlockConfig,
        layers: int,
        kernel: Kernel,
        pooler: bool,
        pattern: Pattern = "full",
        pad_token_id: int | None = None,
    ) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.blocks = nn.ModuleList(Block(block, kernel) for _ in range(layers))
        self.final_norm = nn.LayerNorm(block.hidden_size, eps=block.norm_eps) if block.norm == "pre" else None
        self.pooler = Pooler(block.hidden_size) if pooler else None
        # torch's own kernel has no fast path for dropout on CPUs, the one for packed texts has.
        self.trains_packed = isinstance(kernel, DotProduct) and block.attention_dropout > 0.0
        self.attention_dropout = block.attention_dropout
        self.head_size = block.hidden_size // block.num_attention_heads if isinstance(kernel, DotProduct) else None
        self.pattern: Pattern = pattern
        self.pad_token_id = pad_token_id
        self.gradient_checkpointing = False

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        layout: Layout | None = None,
        pattern: Pattern | None = None,
        prefix_lengths: Tensor | None = None,
        cache: KeyValueCache | None = None,
        tap: Tap | None = None,
    ) -> Encoding:
        """Encode texts.

        input_ids: (..., length), int64, any number of leading dimensions; (tokens,) with a packed layout.
        attention_mask: bool or 0/1, (..., length) live tokens, or (batch, length, length) or (batch, heads or 1,
            length, length) who may attend to whom. With a cache, keys include the cached ones.
        token_type_ids: like input_ids.
        layout: given when the caller has packed the texts, see Packed.from_lengths; then no attention_mask.
        pattern: "full", "causal" or "prefix", in place of the config's.
        prefix_lengths: (batch,), tokens of each prefix; by default the leading tokens of type 0.
        Padded batches are packed inside when that saves work; results are the same.
        """
        leading = tuple(input_ids.shape[:-1])
        _check_ids(input_ids, token_type_ids, layout)
        if layout is None:
            input_ids = input_ids.flatten(0, -2)
            token_type_ids = None if token_type_ids is None else token_type_ids.flatten(0, -2)
            if attention_mask is not None and attention_mask.shape[: len(leading)] == leading:
                attention_mask = attention_mask.flatten(0, len(leading) - 1)
            layout = self._layout(
                input_ids, attention_mask, token_type_ids, pattern or self.pattern, prefix_lengths, cache, tap
            )
            input_ids = layout.rows(input_ids)
            token_type_ids = None if token_type_ids is None else layout.rows(token_type_ids)
        elif attention_mask is not None or pattern is not None or prefix_lengths is not None:
            raise ShapeError("give a layout, or an attention_mask, pattern and prefix_lengths, not both")
        hidden = self.embeddings(input_ids, token_type_ids, layout)
        if tap is not None:
            tap.put("embeddings", layout.restore(hidden))
        checkpointed = self.gradient_checkpointing and self.training and cache is None and torch.is_grad_enabled()
        for layer, block in enumerate(self.blocks):
            if checkpointed:
                hidden = checkpoint(block, hidden, layout, tap=tap, layer=layer, use_reentrant=False)
            else:
                hidden = block(hidden, layout, cache=cache, tap=tap, layer=layer)
            if tap is not None:
                tap.put(f"blocks.{layer}.output", layout.restore(hidden))
        if self.final_norm is not None:
            hidden = self.final_norm(hidden)
        if cache is not None:
            cache.advance(input_ids.shape[-1])
        pooled = self.pooler(layout.first_tokens(hidden)) if self.pooler is not None else None
        return Encoding(hidden, layout, pooled, self.embeddings.word.weight, leading or (1,))

    def tap_names(self) -> tuple[str, ...]:
        """What a Tap may ask for, in the order of computation."""
        inner = ("query", "key", "scores", "probabilities", "output")
        return ("embeddings", *(f"blocks.{n}.{name}" for n in range(len(self.blocks)) for name in inner))

    def new_cache(self, capacity: int) -> KeyValueCache:
        """An empty cache for `capacity` tokens a row."""
        return KeyValueCache(layers=len(self.blocks), capacity=capacity)

    def _layout(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        pattern: Pattern,
        prefix_lengths: Tensor | None,
        cache: KeyValueCache | None,
        tap: Tap | None,
    ) -> Layout:
        batch, length = input_ids.shape
        past = 0 if cache is None else cache.length
        if pattern != "prefix" and prefix_lengths is not None:
            raise ShapeError(f'prefix_lengths are for pattern "prefix", not {pattern!r}')
        if pattern == "prefix" and prefix_lengths is None:
            if past:
                pattern = "causal"  # the prefix lies in the cache, and what follows it is causal
            else:
                prefix_lengths = _leading_type_zero(token_type_ids, attention_mask)
        if attention_mask is not None and self._packing_pays(input_ids, attention_mask, pattern, cache, tap):
            packed = Packed.from_mask(attention_mask, pattern=pattern, prefix_lengths=prefix_lengths)
            if packed is not None:
                return packed
        layout = Padded.build(
            batch=batch,
            length=length,
            attention_mask=attention_mask,
            pattern=pattern,
            prefix_lengths=prefix_lengths,
            past=past,
            device=input_ids.device,
        )
        if attention_mask is None and self.pad_token_id is not None:
            return layout.with_last(_last_unpadded(input_ids, self.pad_token_id))
        return layout

    def _packing_pays(
        self, input_ids: Tensor, mask: Tensor, pattern: Pattern, cache: KeyValueCache | None, tap: Tap | None
    ) -> bool:
        """True where a batch is packed inside. What can be told from the mask's values comes last: GPUs wait for it."""
        if mask.shape != input_ids.shape or cache is not None or torch.compiler.is_compiling():
            return False
        if tap is not None and tap.wants_attention:
            return False
        if mask.device.type == "cpu":
            fullest = 1.0 if self.trains_packed and self.training and torch.is_grad_enabled() else PACK_BELOW
        elif self._packs_on(mask.device, pattern):
            fullest = PACK_BELOW
        else:
            return False
        return float(torch.count_nonzero(mask)) <= fullest * mask.numel()

    def _packs_on(self, device: torch.device, pattern: Pattern) -> bool:
        """True where a GPU has a kernel for packed texts; run by run they would be slower than padded."""
        if self.head_size is None or device.type not in varlen.DEVICES or _is_capturing(device):
            return False
        autocasts = torch.is_autocast_enabled(device.type)
        return varlen.takes(
            device=device,
            dtype=torch.get_autocast_dtype(device.type) if autocasts else self.embeddings.word.weight.dtype,
            pattern=pattern,
            head_size=self.head_size,
            dropout=self.attention_dropout if self.training else 0.0,
        )


def _check_ids(input_ids: Tensor, token_type_ids: Tensor | None, layout: Layout | None) -> None:
    shape = tuple(input_ids.shape)
    if token_type_ids is not None and token_type_ids.shape != shape:
        raise ShapeError(f"token_type_ids are {tuple(token_type_ids.shape)}, expected {shape} like input_ids")
    if layout is None and len(shape) < 2:
        raise ShapeError(f"input_ids must be (batch, length) or have more leading dimensions, got {shape}")
    if isinstance(layout, Packed) and shape != layout.positions.shape:
        raise ShapeError(f"the layout packs {len(layout.positions)} tokens, input_ids are {shape}")


def _is_capturing(device: torch.device) -> bool:
    """True while a CUDA graph is recorded: what depends on a mask's values cannot be in it."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _leading_type_zero(token_type_ids: Tensor | None, attention_mask: Tensor | None) -> Tensor:
    """(batch,), live tokens before the first one of type 1."""
    if token_type_ids is None:
        raise ShapeError('pattern "prefix" needs prefix_lengths, or token_type_ids that are 0 in the prefix')
    prefix = (token_type_ids != 0).cumsum(1) == 0
    if attention_mask is not None and attention_mask.dim() == 2:
        prefix = prefix & (attention_mask != 0)
    return prefix.sum(1)


def _last_unpadded(input_ids: Tensor, pad_token_id: int) -> Tensor:
    """(batch,), index of the rightmost token that is not padding; the last index for a row of padding alone."""
    return input_ids.shape[1] - 1 - (input_ids != pad_token_id).flip(1).to(torch.uint8).argmax(1)
