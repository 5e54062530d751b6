"""Optimizers by name, and the one that a config describes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from torch import nn
from torch.optim import AdamW, Optimizer

from plm.errors import ConfigError
from plm.registry import Registry
from plm.training.adam import BertAdam, MomentOptimizer, OpenAIAdam, ParameterGroup
from plm.training.eight_bit import adamw_8bit
from plm.training.lamb import Lamb
from plm.training.parameter_groups import parameter_groups
from plm.training.schedules import step_restarts

if TYPE_CHECKING:
    from plm.training.config import TrainingConfig

_FUSED_DEVICES = ("cpu", "cuda")


class OptimizerFactory(Protocol):
    """What OPTIMIZERS holds. Many classes of torch.optim are one as they are. eps is given when the config has one."""

    def __call__(
        self, params: list[ParameterGroup], /, *, lr: float, betas: tuple[float, float], eps: float = ...
    ) -> Optimizer:
        """An optimizer for groups that have an "lr" and a "weight_decay" each; lr is the highest of the others."""
        ...


OPTIMIZERS: Registry[OptimizerFactory] = Registry("optimizer")


def build_optimizer(model: nn.Module, config: TrainingConfig) -> Optimizer:
    """The optimizer of a config for all trainable parameters of a model; every group has its highest learning rate.

    Raises TrainingError when the model has none, or a pattern of the config fits none, ConfigError for phases that
    restart an optimizer that cannot.
    """
    groups = parameter_groups(
        model,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        decay_vectors=config.decay_vectors,
        layer_decay=config.layer_decay,
        learning_rates=config.learning_rates,
    )
    restarts = step_restarts(config.lr_phases)
    if restarts:
        groups = [{**group, "restarts": restarts} for group in groups]
    factory = OPTIMIZERS.get(config.optimizer)
    betas = (config.adam_beta1, config.adam_beta2)
    if config.adam_epsilon is None:
        optimizer = factory(groups, lr=config.learning_rate, betas=betas)
    else:
        optimizer = factory(groups, lr=config.learning_rate, betas=betas, eps=config.adam_epsilon)
    if restarts and not isinstance(optimizer, MomentOptimizer):
        raise ConfigError(f"lr_phases: restarts_steps: {config.optimizer!r} cannot; take 'lamb', or leave it out")
    return optimizer


def adamw(
    params: list[ParameterGroup], /, *, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
) -> Optimizer:
    """AdamW with bias correction (Loshchilov and Hutter 2019), as one fused kernel where torch has it.

    PaddlePALM's Adam with decoupled decay takes the same steps.
    """
    devices = {parameter.device.type for group in params for parameter in group["params"]}
    return AdamW(params, lr=lr, betas=betas, eps=eps, fused=devices <= set(_FUSED_DEVICES))


OPTIMIZERS.add("adamw", adamw)
OPTIMIZERS.add("bert_adam", BertAdam)
OPTIMIZERS.add("openai_adam", OpenAIAdam)
# NVIDIA's and MLPerf's: gradients to norm 1 over all parameters first, trust ratios only where weights decay.
OPTIMIZERS.add("lamb", partial(Lamb, max_grad_norm=1.0, trust="decayed"))
# You et al. 2020, algorithm 2, as it stands.
OPTIMIZERS.add("lamb_paper", Lamb)
OPTIMIZERS.add("lamb_nezha", partial(Lamb, max_grad_norm=1.0, trust_bounds=(0.0, 10.0), trust_norm="nezha"))
OPTIMIZERS.add("adamw_8bit", adamw_8bit)
