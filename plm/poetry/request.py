"""What somebody may wish of a poem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from plm.config import require_choice, require_positive, require_types
from plm.errors import PoemError

Mode = Literal["random", "continue", "acrostic"]
MODES: tuple[Mode, ...] = ("random", "continue", "acrostic")
MOST_POEMS, MOST_CANDIDATES, MOST_TITLE = 64, 256, 32


@dataclass(frozen=True, kw_only=True)
class PoemRequest:
    """A wish. `plm.poetry.plan` says what it comes to, and why it cannot be met.

    mode: "random" = nothing is given; "continue" = the poem begins with `text`; "acrostic" = its lines begin with the
        characters of `text`, one each (藏头), or end with those of `tails` (藏尾), or both.
        A text that ends in a mark ends its last line; without any marks it is cut where the lines of the form end.
    form: a form by any of its names (七绝, qijue, 七言绝句); "free" or 古 = lines of one length, the even ones and the
        last rhyming, without tones; None = what the text suggests, else 七绝.
    line_length: characters of a line, of free poems (5 or 7 as a rule). lines: how many, of free poems.
    title: theme or title that the model is told, as far as it knows the characters. order, rhyme: "A" to "D" (of free
        poems "level" or "oblique", the tone of the rhyme), and a class of the rhyme book such as 七阳; None = drawn as
        people choose. book: a rhyme book by name. licences: departures to make use of, by name, of those of the form.
    strict: True = every place has the tone that its order wants; False = only every second and the last do. What is
        given stays, whatever its tone: the order that suits it best is likely to be taken, the report tells the rest.
    n: poems wanted. candidates: poems made, of which the best are returned: n at least. seed: of all draws.
    temperature, top_k, top_p: as in GenerationConfig. repetition: how many nats a character loses each time that it
        occurred in the poem before, unless just before. may_copy: False = poems with a line of the training data come
        last.
    script: of the poems that are returned. Wishes may come in either.
    """

    mode: Mode = "random"
    form: str | None = None
    text: str = ""
    tails: str = ""
    title: str = ""
    line_length: int | None = None
    lines: int | None = None
    order: str | None = None
    rhyme: str | None = None
    book: str = "pingshui"
    licences: tuple[str, ...] = ()
    strict: bool = True
    n: int = 1
    candidates: int = 8
    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = 0.9
    repetition: float = 1.5
    may_copy: bool = False
    script: Literal["simplified", "traditional"] = "simplified"

    def __post_init__(self) -> None:
        require_types(self)
        require_choice(self, "mode", MODES)
        require_choice(self, "script", ("simplified", "traditional"))
        require_positive(self, "n", "candidates")
        require_positive(self, *(name for name in ("lines", "line_length", "top_k") if getattr(self, name) is not None))
        for name, most in (("n", MOST_POEMS), ("candidates", MOST_CANDIDATES)):
            if getattr(self, name) > most:
                raise PoemError(f"{name}: {getattr(self, name)} is more than {most} at once")
        if len(self.title) > MOST_TITLE:
            raise PoemError(f"title: {len(self.title)} characters are more than {MOST_TITLE}")
        self._check_draws()
        self._check_mode()

    def _check_draws(self) -> None:
        if self.temperature <= 0.0:
            raise PoemError(f"temperature: {self.temperature} must be above 0; the lower, the likelier the characters")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise PoemError(f"top_p: {self.top_p} must be above 0 and at most 1, which leaves nothing out")
        if self.repetition < 0.0:
            raise PoemError(f"repetition: {self.repetition} must be 0 (no matter) or more")

    def _check_mode(self) -> None:
        given: dict[str, Any] = {"text": self.text, "tails": self.tails}
        if self.mode == "random" and any(given.values()):
            name = next(name for name, value in given.items() if value)
            raise PoemError(f'{name}: a poem of mode "random" is given nothing; mode "continue" or "acrostic" takes it')
        if self.mode == "continue" and (self.tails or not self.text):
            raise PoemError('mode "continue" goes on with a `text`, and has no `tails`')
        if self.mode == "acrostic" and not (self.text or self.tails):
            raise PoemError('mode "acrostic" needs the first characters of the lines as `text`, or the last as `tails`')
