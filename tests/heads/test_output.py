"""Outputs are read as in transformers: by attribute, key, position and slice; absent fields are absent."""

from __future__ import annotations

import pytest
import torch

from plm.heads.output import DoubleHeadsOutput, EncoderOutput, LogitsOutput, PretrainingOutput, SpanOutput

LOSS, LOGITS = torch.tensor(1.0), torch.zeros(2, 3)


def test_fields_are_read_by_attribute_key_position_and_slice() -> None:
    output = LogitsOutput(loss=LOSS, logits=LOGITS)
    assert output.logits is output["logits"] is output[1] is output[-1] is output.to_tuple()[1]
    assert output[:1] == (LOSS,)
    assert list(output) == output.keys() == ["loss", "logits"]
    assert dict(output) == {"loss": LOSS, "logits": LOGITS}


def test_a_field_that_is_none_is_absent() -> None:
    output = LogitsOutput(logits=LOGITS)
    assert output.loss is None
    assert output.keys() == ["logits"]
    assert output[0] is LOGITS
    assert ("loss" in output, "logits" in output) == (False, True)
    with pytest.raises(KeyError, match=r"'loss' is not among the outputs \['logits'\]"):
        output["loss"]


def test_the_loss_comes_first_wherever_there_is_one() -> None:
    outputs = [
        LogitsOutput(loss=LOSS, logits=LOGITS),
        PretrainingOutput(loss=LOSS, prediction_logits=LOGITS, seq_relationship_logits=LOGITS),
        SpanOutput(loss=LOSS, start_logits=LOGITS, end_logits=LOGITS),
        DoubleHeadsOutput(loss=LOSS, logits=LOGITS, mc_logits=LOGITS),
    ]
    assert all(output[0] is LOSS for output in outputs)


def test_an_encoder_without_pooler_has_states_only() -> None:
    assert EncoderOutput(last_hidden_state=LOGITS).to_tuple() == (LOGITS,)
