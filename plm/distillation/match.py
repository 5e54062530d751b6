"""Which layer of the teacher each layer of the student learns from.

Layers are counted as in the paper: 0 is the output of the embeddings, n that of block n. The embeddings always learn
from the embeddings; so only blocks have to be matched. Block m learns from block g(m) both its attention scores, which
are computed inside the block, and its hidden states, which leave it.

Source: Jiao et al. 2020 (TinyBERT), section 3.1 and the ablation of mapping functions in section 4.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from plm.errors import ConfigError
from plm.registry import Registry

Mapping = Callable[[int, int], Sequence[int]]
"""(layers of the student, layers of the teacher) -> g(1), ..., g(layers of the student)."""


@dataclass(frozen=True)
class LayerMatch:
    """g(1), ..., g(M) for a student of M blocks.

    teacher_layers: for each block of the student the number of the teacher's block, from 1; 0 = it learns from none.
    """

    teacher_layers: tuple[int, ...]

    @classmethod
    def named(cls, name: str, *, student: int, teacher: int) -> LayerMatch:
        """By a name in MATCHES, for so many blocks. Raises ConfigError where the student has too many or they do not
        divide, UnknownNameError for another name.
        """
        return cls(tuple(MATCHES.get(name)(student, teacher)))

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """(block of the student, block of the teacher), from 1, of those that are matched."""
        return tuple((own, theirs) for own, theirs in enumerate(self.teacher_layers, start=1) if theirs)

    def check(self, *, student: int, teacher: int) -> None:
        """Raise ConfigError unless this is for a student and a teacher of so many blocks."""
        if len(self.teacher_layers) != student:
            raise ConfigError(
                f"teacher_layers: expected one number for each of the student's {student} blocks (0 = learns from "
                f"none), got {list(self.teacher_layers)}"
            )
        if wrong := [layer for layer in self.teacher_layers if not 0 <= layer <= teacher]:
            raise ConfigError(
                f"teacher_layers: the teacher's blocks have the numbers 1 to {teacher} (0 = learns from none), "
                f"got {', '.join(map(str, wrong))}"
            )


def uniform(student: int, teacher: int) -> Sequence[int]:
    """Every (N/M)-th block: g(m) = m N/M."""
    if teacher % student:
        raise ConfigError(
            f'"uniform" needs a teacher with a multiple of the student\'s {student} blocks, got {teacher}: take '
            f'"nearest", which rounds to {list(nearest(student, teacher))}, or name the teacher_layers'
        )
    return [own * teacher // student for own in range(1, student + 1)]


def nearest(student: int, teacher: int) -> Sequence[int]:
    """For any numbers of blocks: g(m) = m N/M rounded, halves up, at least 1; the last learns from the last."""
    return [max(1, (2 * own * teacher + student) // (2 * student)) for own in range(1, student + 1)]


def top(student: int, teacher: int) -> Sequence[int]:
    """The last blocks: g(m) = m + N - M."""
    _require_no_more("top", student, teacher)
    return range(teacher - student + 1, teacher + 1)


def bottom(student: int, teacher: int) -> Sequence[int]:
    """The first blocks: g(m) = m."""
    _require_no_more("bottom", student, teacher)
    return range(1, student + 1)


def last(student: int, teacher: int) -> Sequence[int]:
    """The last block from the last, all others from none."""
    return [*[0] * (student - 1), teacher]


def _require_no_more(name: str, student: int, teacher: int) -> None:
    if student > teacher:
        raise ConfigError(
            f'"{name}" needs a student with no more blocks than the teacher\'s {teacher}, got {student}: take "nearest"'
        )


MATCHES: Registry[Mapping] = Registry("match of layers")
MATCHES.add("uniform", uniform)
MATCHES.add("nearest", nearest)
MATCHES.add("top", top)
MATCHES.add("bottom", bottom)
MATCHES.add("last", last)
