"""Adversarial training: the gradient at the weights, plus the gradient where a small change of them hurts most.

    adversary = fgm(model, epsilon=1.0)
    adversary.passes(gradient)      # in place of gradient(), which fills .grad of all parameters

What is changed are the word embeddings, or whatever parameters a pattern names: each tensor by at most epsilon, in the
Euclidean norm, along its gradient. The change is found from the gradient of a whole update, so that several small
batches do what one large batch does. It is gone before the optimizer comes: nothing is kept between updates.

Sources: Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text Classification" (one step, FGM);
Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks" (several, PGD). Both change every
input for itself; changing the table of words instead, one row for all its occurrences, is the common practice for
pretrained models and costs no change of the model. Zhu et al. 2020 (FreeLB) add up the gradients of all steps; here
that of the last one counts.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor, nn

from plm.errors import ConfigError, TrainingError, did_you_mean

if TYPE_CHECKING:
    from plm.training.config import TrainingConfig

Told = TypeVar("Told")

WORD_EMBEDDINGS = "*embeddings.word.weight"


@dataclass(frozen=True)
class Adversary:
    """Where and how far to look for weights that hurt.

    parameters: all that are trained, whose gradients are added up. targets: those that are changed.
    epsilon: largest Euclidean length of the change of each target. steps: how often to climb; each costs a gradient.
    step_size: length of a step; what goes beyond epsilon is cut back to it.
    """

    parameters: Sequence[Tensor]
    targets: Sequence[Tensor]
    epsilon: float
    steps: int
    step_size: float

    def passes(self, gradient: Callable[[], Told]) -> Told:
        """Fill .grad with the gradient at the weights plus that at the changed weights.

        gradient: computes that of a whole update, over all batches and processes, at the present weights into .grad,
            which is None before. It is called 1 + steps times.
        Returns what it returned the first time, at the weights as they are. Afterwards, also after an exception or
        Ctrl-C, the weights are those from before, bit for bit.
        """
        self._forget()
        told = gradient()
        clean = [parameter.grad for parameter in self.parameters]
        origin = [target.detach().clone() for target in self.targets]
        here, before = ([_local(tensor.detach()) for tensor in each] for each in (self.targets, origin))
        try:
            for _ in range(self.steps):
                self._climb(origin)
                self._forget()
                gradient()
        finally:
            with torch.no_grad():
                torch._foreach_copy_(here, before)  # one call, which a further Ctrl-C cannot cut in two
        self._add(clean)
        return told

    @torch.no_grad()
    def _climb(self, origin: Sequence[Tensor]) -> None:
        """One step of every target along its gradient, then back into the ball around its origin."""
        for target, centre in zip(self.targets, origin, strict=True):
            if target.grad is None:  # not used by these batches
                continue
            change = target - centre + _with_length(target.grad, self.step_size)
            length = change.norm()
            target.copy_(centre + change * (self.epsilon / length.clamp(min=self.epsilon)))

    def _forget(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def _add(self, clean: Sequence[Tensor | None]) -> None:
        for parameter, gradient in zip(self.parameters, clean, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def build_adversary(model: nn.Module, config: TrainingConfig) -> Adversary | None:
    """The one that a config asks for; None if it asks for none. Raises as `pgd`."""
    epsilon, target = config.adversarial_epsilon, config.adversarial_target
    if config.adversarial == "fgm":
        return fgm(model, epsilon=epsilon, target=target)
    if config.adversarial == "pgd":
        return pgd(model, epsilon=epsilon, steps=config.adversarial_steps, target=target)
    return None


def fgm(model: nn.Module, *, epsilon: float = 1.0, target: str = WORD_EMBEDDINGS) -> Adversary:
    """One step of length epsilon. target: a glob of parameter names. Raises as `pgd`."""
    return _adversary(model, epsilon=epsilon, steps=1, step_size=epsilon, target=target)


def pgd(model: nn.Module, *, epsilon: float = 1.0, steps: int = 3, target: str = WORD_EMBEDDINGS) -> Adversary:
    """Several steps, each of length 2.5 epsilon / steps: enough to go anywhere in the ball, and along its border.

    target: a glob of parameter names. Raises TrainingError when no trained parameter has such a name.
    """
    return _adversary(model, epsilon=epsilon, steps=steps, step_size=2.5 * epsilon / steps, target=target)


def _adversary(model: nn.Module, *, epsilon: float, steps: int, step_size: float, target: str) -> Adversary:
    if not epsilon > 0.0 or steps < 1:
        raise ConfigError(f"adversarial training needs a positive epsilon and at least 1 step, got {epsilon}, {steps}")
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    targets = [parameter for name, parameter in named.items() if fnmatch.fnmatchcase(name, target)]
    if not targets:
        raise TrainingError(
            f"adversarial training: no trained parameter is called {target!r}{did_you_mean(target, named)}; "
            f"there are {', '.join(list(named)[:8])}{', ...' if len(named) > 8 else ''}"
        )
    return Adversary(list(named.values()), targets, epsilon, steps, step_size)


def _local(tensor: Tensor) -> Tensor:
    """The part that this process has, in the same memory; the tensor itself if it is not sharded."""
    to_local = getattr(tensor, "to_local", None)
    return tensor if to_local is None else cast("Tensor", to_local())


def _with_length(gradient: Tensor, length: float) -> Tensor:
    """The gradient scaled to a length; 0 where it has no direction: it is 0, or an overflow in 16 bits."""
    norm = gradient.norm()
    usable = norm.isfinite() & (norm > 0)
    return torch.where(usable, gradient / norm * length, 0.0)
