"""Tables of names, one module for each family of sources. Importing this package fills MAPS."""

from plm.checkpoints.maps import google, gpt1, huggingface, keras_flax, mindspore, paddle
from plm.checkpoints.name_map import MAPS

__all__ = ["MAPS", "google", "gpt1", "huggingface", "keras_flax", "mindspore", "paddle"]
