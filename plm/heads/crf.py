"""A linear-chain conditional random field: sequences of classes are judged as a whole. Source: Lafferty et al. 2001.

The score of a sequence is the sum of the emissions of its classes (what the model says about each word) and of the
transitions between neighbours; its probability is the softmax over all sequences. Parameters are named as in
pytorch-crf: `start_transitions`, `transitions` (from, to), `end_transitions`.

All functions take rectangles filled up on the right: emissions (sequences, longest, classes) and lengths (sequences,),
int64, each at least 1. `by_sequence` makes them from tokens of which only some take part.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from plm.blocks.labels import IGNORED_LABEL


class Transitions(NamedTuple):
    """Scores, floating. start, end: (classes,), of the first and the last word. between: (classes, classes), from, to.

    Lowered where a transition must not happen (see plm.data.allowed_transitions), they forbid it to `viterbi`.
    """

    start: Tensor
    between: Tensor
    end: Tensor


class Crf(nn.Module):
    """The transitions of a chain, starting empty."""

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.start_transitions = nn.Parameter(torch.empty(num_labels))
        self.transitions = nn.Parameter(torch.empty(num_labels, num_labels))
        self.end_transitions = nn.Parameter(torch.empty(num_labels))

    @property
    def scores(self) -> Transitions:
        """The parameters in float32, in which all sums are taken."""
        return Transitions(self.start_transitions.float(), self.transitions.float(), self.end_transitions.float())


def by_sequence(values: Tensor, sequence: Tensor) -> tuple[Tensor, Tensor]:
    """Rows one after the other -> (sequences, longest, ...) filled up with 0, and lengths (sequences,).

    values: (rows, ...), at least one row. sequence: (rows,), int64, which sequence a row is of; those of one lie
    together, in order. Numbers that do not occur make no sequence.
    """
    _, place, lengths = torch.unique_consecutive(sequence, return_inverse=True, return_counts=True)
    column = torch.arange(len(values), device=values.device) - (lengths.cumsum(0) - lengths)[place]
    filled = values.new_zeros(len(lengths), int(lengths.max()), *values.shape[1:])
    return filled.index_put((place, column), values), lengths


def log_likelihood(emissions: Tensor, classes: Tensor, lengths: Tensor, transitions: Transitions) -> Tensor:
    """(sequences,): log of the probability of each sequence, in nats, by the forward algorithm.

    classes: (sequences, longest), int64; anything valid beyond the length.
    """
    live = _live(emissions, lengths)
    return _score(emissions, classes, lengths, live, transitions) - _log_partition(emissions, live, transitions)


def viterbi(emissions: Tensor, lengths: Tensor, transitions: Transitions) -> Tensor:
    """(sequences, longest), int64: the most probable classes; -100 beyond the length. Of equals the lower numbers."""
    live = _live(emissions, lengths)
    here = torch.arange(emissions.shape[-1], device=emissions.device)
    score, backwards = transitions.start + emissions[:, 0], []
    for step in range(1, emissions.shape[1]):
        best, before = (score[:, :, None] + transitions.between).max(1)
        going_on = live[:, step, None]
        score = torch.where(going_on, best + emissions[:, step], score)
        backwards.append(torch.where(going_on, before, here))
    path = [(score + transitions.end).argmax(1)]
    for before in reversed(backwards):
        path.append(before.gather(1, path[-1][:, None])[:, 0])
    return torch.stack(path[::-1], 1).masked_fill(~live, IGNORED_LABEL)


def marginals(emissions: Tensor, lengths: Tensor, transitions: Transitions) -> Tensor:
    """(sequences, longest, classes): the probability of each class at each place, whatever the others are; 0 beyond.

    By the forward-backward algorithm, in log space, so that no sum of any scores vanishes.
    """
    live = _live(emissions, lengths)
    forward = [transitions.start + emissions[:, 0]]
    for step in range(1, emissions.shape[1]):
        forward.append(torch.logsumexp(forward[-1][:, :, None] + transitions.between, 1) + emissions[:, step])
    backward = [transitions.end.expand_as(forward[0])]
    for step in range(emissions.shape[1] - 1, 0, -1):
        following = torch.logsumexp(transitions.between + (emissions[:, step] + backward[-1])[:, None], 2)
        backward.append(torch.where(live[:, step, None], following, transitions.end))
    scores = torch.stack(forward, 1) + torch.stack(backward[::-1], 1)
    return scores.softmax(2) * live[..., None]


def _live(emissions: Tensor, lengths: Tensor) -> Tensor:
    """(sequences, longest), bool, True inside of a sequence."""
    return torch.arange(emissions.shape[1], device=lengths.device) < lengths[:, None]


def _score(emissions: Tensor, classes: Tensor, lengths: Tensor, live: Tensor, transitions: Transitions) -> Tensor:
    """(sequences,): the score of these classes."""
    emitted = emissions.gather(2, classes[..., None])[..., 0] * live
    passed = transitions.between[classes[:, :-1], classes[:, 1:]] * live[:, 1:]
    last = classes.gather(1, lengths[:, None] - 1)[:, 0]
    return transitions.start[classes[:, 0]] + emitted.sum(1) + passed.sum(1) + transitions.end[last]


def _log_partition(emissions: Tensor, live: Tensor, transitions: Transitions) -> Tensor:
    """(sequences,): log of the sum of exp(score) over all sequences of classes."""
    score = transitions.start + emissions[:, 0]
    for step in range(1, emissions.shape[1]):
        following = torch.logsumexp(score[:, :, None] + transitions.between, 1) + emissions[:, step]
        score = torch.where(live[:, step, None], following, score)
    return torch.logsumexp(score + transitions.end, 1)
