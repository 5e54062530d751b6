"""How much a service takes on."""

from __future__ import annotations

from dataclasses import dataclass

from plm.config import require_positive, require_types
from plm.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of requests and queues.

    body_bytes: of a request. inputs: texts of a request. text_characters, text_tokens: of one text, pairs together;
    text_tokens bounds texts that are read in windows (tag, answer), which have no other end.
    new_tokens: that a request for generation may ask for, samples together. poems: of one request.
    queue: texts of one model that may wait. timeout: seconds until a request is answered, or else given up.
    batch_tokens: real tokens, about, that are computed at once. batch_wait: seconds that a text waits for company.
    Raises ConfigError for values that are not positive, and for a queue that the largest request does not fit into.
    """

    body_bytes: int = 1 << 20
    inputs: int = 256
    text_characters: int = 100_000
    text_tokens: int = 8192
    new_tokens: int = 2048
    poems: int = 8
    queue: int = 1024
    timeout: float = 60.0
    batch_tokens: int = 2048
    batch_wait: float = 0.005

    def __post_init__(self) -> None:
        require_types(self)
        require_positive(
            self,
            "body_bytes",
            "inputs",
            "text_characters",
            "text_tokens",
            "new_tokens",
            "poems",
            "queue",
            "batch_tokens",
        )
        if not 0.0 < self.timeout <= 86_400.0:
            raise ConfigError(f"timeout: expected seconds above 0, a day at most, got {self.timeout}")
        if not 0.0 <= self.batch_wait < self.timeout:
            raise ConfigError(f"batch_wait: expected seconds from 0 to below timeout, got {self.batch_wait}")
        if self.inputs > self.queue:
            raise ConfigError(f"inputs: a request of {self.inputs} texts would never fit a queue of {self.queue}")
