"""How a text is to go on: how many tokens, which of them, when to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from plm.config import require_choice, require_positive, require_types
from plm.errors import ConfigError

OVERFLOWS = ("error", "slide")


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """Settings of `generate`. Without any: the likeliest token each time (greedy), 64 of them, one text a prompt.

    max_new_tokens: tokens at most; a stop token counts.
    do_sample: draw the next token, in place of taking the likeliest; None = if one of the next five is given.
    temperature: scores are divided by it: below 1 the likely become likelier, above 1 the unlikely. 1 by default.
    top_k: only the k likeliest tokens.
    top_p: only the likeliest tokens that have this share of the probability together, in (0, 1].
    min_p: only tokens with at least this share of the probability of the likeliest one, in [0, 1].
    typical_p: only the tokens whose information is nearest to the entropy, that have this share together, in (0, 1].
    num_beams: 1 = one text is followed; more = that many, of which the best is returned (no sampling then).
    length_penalty: beams are compared by their log-probability divided by their new tokens to this power.
    repetition_penalty: logits of tokens that occurred (in the prompt, too) are divided by it where positive, multiplied
        where negative; 1 = none. Source: Keskar et al. 2019, section 4.1.
    no_repeat_ngram_size: so many tokens in a row occur only once; 0 = as often as they come.
    stop_token_ids: tokens that end a text, and stay its last ones; None = the model's eos_token_id or sep_token_id, if
        the Generator knows its tokenizer's.
    stop_strings: texts that end a text, and are cut off; for a Generator.
    num_return_sequences: texts for each prompt; needs sampling, or as many beams.
    seed: of the draws. A text depends on its prompt, this number and which of the prompt's texts it is, not on what
        else is in the batch.
    overflow: where the model has positions for fewer tokens than prompt and max_new_tokens: "error" = say so at once;
        "slide" = forget the oldest quarter of the positions each time when they are full.
    """

    max_new_tokens: int = 64
    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    num_beams: int = 1
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    stop_token_ids: tuple[int, ...] | None = None
    stop_strings: tuple[str, ...] = ()
    num_return_sequences: int = 1
    seed: int = 0
    overflow: Literal["error", "slide"] = "error"

    def __post_init__(self) -> None:
        require_types(self)
        require_positive(self, "max_new_tokens", "num_beams", "num_return_sequences")
        require_choice(self, "overflow", OVERFLOWS)
        if self.repetition_penalty <= 0.0:
            raise ConfigError(f"repetition_penalty {self.repetition_penalty} must be positive; 1 changes nothing")
        if self.no_repeat_ngram_size < 0:
            raise ConfigError(f"no_repeat_ngram_size {self.no_repeat_ngram_size} must not be negative; 0 = no limit")
        if "" in self.stop_strings:
            raise ConfigError("stop_strings: an empty text would end every text at once")
        self._check_filters()
        self._check_ways()

    @property
    def samples(self) -> bool:
        """True when tokens are drawn."""
        return bool(self._filters) if self.do_sample is None else self.do_sample

    @property
    def _filters(self) -> list[str]:
        names = ("temperature", "top_k", "top_p", "min_p", "typical_p")
        return [name for name in names if getattr(self, name) is not None]

    def _check_filters(self) -> None:
        if self.temperature is not None and not self.temperature > 0.0:
            raise ConfigError(
                f"temperature {self.temperature} must be positive; leave it out to take the likeliest token"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k {self.top_k} must be at least 1")
        for name in ("top_p", "typical_p"):
            share = getattr(self, name)
            if share is not None and not 0.0 < share <= 1.0:
                raise ConfigError(f"{name} {share} must be above 0 and at most 1")
        if self.min_p is not None and not 0.0 <= self.min_p <= 1.0:
            raise ConfigError(f"min_p {self.min_p} must lie between 0 and 1")

    def _check_ways(self) -> None:
        if self.do_sample is False and self._filters:
            raise ConfigError(f"{self._filters[0]} is of no use without sampling: leave out do_sample=False")
        if self.num_beams > 1 and self.samples:
            raise ConfigError(f"num_beams={self.num_beams} follows the likeliest texts: do not sample besides")
        if self.num_beams == 1 and self.length_penalty != 1.0:
            raise ConfigError("length_penalty compares beams: set num_beams, too")
        if self.num_return_sequences > 1 and not self.samples and self.num_return_sequences > self.num_beams:
            raise ConfigError(
                f"num_return_sequences={self.num_return_sequences}: greedy texts of one prompt are all alike; sample "
                "(temperature=1.0), or set num_beams to as many"
            )
