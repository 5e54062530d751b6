"""Text in, text out: a causal model with its tokenizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from plm.blocks.dtype_names import INT8
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.hub import resolve
from plm.checkpoints.loading import load_model
from plm.errors import CheckpointError, ConfigError, DataError
from plm.generation.config import GenerationConfig
from plm.generation.generating import Ending, Sequences, generate, generate_steps
from plm.generation.texts import Stream, continuation, stopping
from plm.heads.engine import CausalEngine
from plm.heads.model import Model
from plm.heads.preparing import decoding_engine
from plm.tokenizers import Tokenizer, load_tokenizer


@dataclass(frozen=True)
class Generated:
    """One way in which a prompt goes on.

    text: what comes after the prompt. ids: its tokens. score: their log-probability together, under the model.
    ending: "stop" = by a stop token or text, "length" = by max_new_tokens.
    """

    text: str
    ids: list[int]
    score: float
    ending: Ending


class Generator:
    """Goes on with texts.

        generator = Generator.from_pretrained("openai-gpt")
        generator("once upon a time", GenerationConfig(max_new_tokens=20))[0][0].text
        for piece in generator.stream("once upon a time"):
            print(piece, end="", flush=True)

    model: causal, with a language model head, of which what is kept shares its parameters; or the engine of a backend,
        which `pipeline("text-generation", folder, backend=...)` gets for you. rows: texts that are made at
        once, at most. int8: True = with weights rounded to eight bits.
    A prompt of BERT or NEZHA starts with its first special token; such a model ends a text with its last one.
    Raises ConfigError for a model that cannot go on with a text.
    """

    def __init__(
        self, model: Model | CausalEngine, tokenizer: Tokenizer, *, rows: int = 32, int8: bool = False
    ) -> None:
        self.engine, self.tokenizer, self.rows = decoding_engine(model, int8=int8), tokenizer, rows

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, dtype: str = "float32", rows: int = 32) -> Generator:
        """From a folder or a hub name; a BERT or NEZHA whose config does not say that it is causal is refused.

        dtype: "float32", "bfloat16", "float16", or "int8" = weights of eight bits, which is fastest on CPUs and
            not quite exact. Raises CheckpointError for one without a language model.
        """
        folder = resolve(name_or_path)
        model, report = load_model(folder, heads=("causal_lm",), dtype=as_dtype("float32" if dtype == INT8 else dtype))
        if random := [*report.missing, *report.mismatched]:
            raise CheckpointError(f"{report.source}: has no trained language model, it lacks {', '.join(random[:3])}")
        return cls(model, load_tokenizer(folder), rows=rows, int8=dtype == INT8)

    def __call__(self, prompts: str | Sequence[str], config: GenerationConfig | None = None) -> list[list[Generated]]:
        """For each prompt, num_return_sequences texts; a single prompt counts as one of several.

        Raises DataError for a prompt without tokens, ShapeError for one that is too long.
        """
        config = self._settled(config)
        listed = [prompts] if isinstance(prompts, str) else list(prompts)
        encoded = [self.encode(prompt, place) for place, prompt in enumerate(listed)]
        by_length = sorted(range(len(encoded)), key=lambda place: len(encoded[place]))
        count = max(1, self.rows // config.num_return_sequences)
        batches = [by_length[start : start + count] for start in range(0, len(by_length), count)]
        found: dict[int, list[Generated]] = {}
        for batch in tqdm(batches, desc="generating", unit="batch", disable=None if len(batches) > 1 else True):
            found |= zip(batch, self._generated([encoded[place] for place in batch], config), strict=True)
        return [found[place] for place in range(len(listed))]

    def stream(self, prompt: str, config: GenerationConfig | None = None) -> Iterator[str]:
        """The text after the prompt, in pieces as they are known; stop iterating to stop it.

        Raises as a call does; and ConfigError for several texts or beams, which cannot be shown piece by piece.
        """
        config = self._settled(config)
        if config.num_return_sequences > 1:
            raise ConfigError(f"num_return_sequences={config.num_return_sequences}: a stream is one text")
        ids = self.encode(prompt, 0)
        text = Stream(self.tokenizer, ids, config.stop_strings)
        row = torch.tensor([ids], device=self.engine.device)
        for step in generate_steps(self.engine, row, config, stop=self._stop(config)):
            if piece := text.add(int(step.ids)):
                yield piece
        if rest := text.rest():
            yield rest

    def encode(self, prompt: str, place: int = 0) -> list[int]:
        """The tokens of a prompt, as the model was trained to see the beginning of a text.

        place: number of the prompt, for messages. Raises DataError when there are none.
        """
        if not isinstance(prompt, str):
            raise DataError(f"prompt {place}: expected a string, got {type(prompt).__name__}")
        ids: list[int] = self.tokenizer.encode(prompt, add_special_tokens=False)
        first = self.tokenizer.cls_token_id if self.tokenizer.is_wordpiece else self.tokenizer.bos_token_id
        if first is not None:
            ids = [first, *ids]
        if not ids:
            raise DataError(f"prompt {place}: is empty, and this model needs at least one token to go on from")
        return ids

    def _generated(self, prompts: Sequence[list[int]], config: GenerationConfig) -> list[list[Generated]]:
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=self.engine.device)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]).to(ids)
        made = generate(self.engine, ids, config, attention_mask=mask, stop=self._stop(config))
        texts = config.num_return_sequences
        return [
            [self._told(prompt, made, row * texts + number, config) for number in range(texts)]
            for row, prompt in enumerate(prompts)
        ]

    def _told(self, prompt: list[int], made: Sequences, number: int, config: GenerationConfig) -> Generated:
        ids = made.text_ids(number)
        text = continuation(self.tokenizer, prompt, ids, config.stop_strings)
        return Generated(text, ids, float(made.scores[number].sum()), made.endings[number])

    def _settled(self, config: GenerationConfig | None) -> GenerationConfig:
        config = config or GenerationConfig()
        if config.stop_token_ids is not None:
            return config
        stop = self.tokenizer.eos_token_id
        if stop is None:
            stop = self.tokenizer.sep_token_id
        return dataclasses.replace(config, stop_token_ids=() if stop is None else (stop,))

    def _stop(self, config: GenerationConfig) -> Callable[[Tensor, Tensor], Tensor] | None:
        return stopping(self.tokenizer, config.stop_strings) if config.stop_strings else None
