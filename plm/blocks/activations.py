"""Activation functions by name. `"gelu"` (erf) and `"gelu_new"` (tanh) are different functions and different names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from plm.registry import Registry

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: Registry[Activation] = Registry("activation")
ACTIVATIONS.add("gelu", F.gelu)
ACTIVATIONS.add("gelu_new", partial(F.gelu, approximate="tanh"))
ACTIVATIONS.add("relu", F.relu)
ACTIVATIONS.add("silu", F.silu)
ACTIVATIONS.add("tanh", torch.tanh)
