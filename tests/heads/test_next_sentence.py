"""Next sentence prediction is a two-way decision about the pooled first token."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.tiny_models import random_ids, tiny_model
from tests.tolerances import assert_close

IDS = random_ids(3, 5)


@pytest.mark.parametrize("labels", [[0, 1, 1], [0, -100, 1]])
@pytest.mark.parametrize("column", [False, True])
def test_logits_and_loss_follow_from_the_pooled_token(labels: list[int], column: bool) -> None:
    model, wanted = tiny_model("bert", "next_sentence").eval(), torch.tensor(labels)
    output = model(IDS, labels=wanted[:, None] if column else wanted)
    assert_close(output["logits"], model.heads["next_sentence"].classifier(model.backbone(IDS).pooled))
    assert_close(output["loss"], F.cross_entropy(output["logits"], wanted))
