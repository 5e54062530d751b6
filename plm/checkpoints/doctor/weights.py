"""Checks of config and weights: do they fit together, and are the numbers sound?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from plm.checkpoints.config_map import finish_config, read_config
from plm.checkpoints.doctor.patient import Patient, Remark
from plm.checkpoints.name_map import expand
from plm.errors import ConfigError
from plm.models.config import default_labels

# Above this share of float32 values below 1.2e-38, CPUs that compute them in microcode slow down noticeably.
MANY_DENORMALS = 1e-3


def config(patient: Patient) -> Iterator[Remark]:
    """Is there a config, can it be read, does it hold every size, and is every key understood?"""
    if patient.config is None:
        yield "error", patient.problems["config"]
        return
    raw, source = patient.config
    inferred = {} if patient.checkpoint is None else dataclasses.asdict(patient.checkpoint.config)
    try:
        understood = read_config(raw, source=source)
        finish_config(understood, inferred=inferred, activations={})
    except ConfigError as error:
        yield "error", str(error)
        return
    for note in understood.notes:
        yield "warning", note
    if not understood.notes:
        yield "ok", f"{source}: complete, every key is understood"


def weights(patient: Patient) -> Iterator[Remark]:
    """Can a model be loaded, with every parameter from the file?"""
    if (entry := patient.exported) is not None:
        yield "ok", f"exported for the backend {entry.backend!r}, which examines them when it loads them"
        return
    report = patient.loaded
    if report is None:
        yield "error", patient.problems.get("loaded") or patient.problems["checkpoint"]
        return
    for name in report.missing:
        yield "error", f"{name} is not in the file and would be random"
    for name in report.mismatched:
        yield "error", f"{name}: would be random, since the config asks for another shape"
    if report.unused:
        yield "warning", f"in the file, but no part of a known model: {', '.join(report.unused[:6])}"
    if not (report.missing or report.mismatched or report.unused):
        yield "ok", f"{len(report.loaded)} tensors fill a {report.model_type} ({report.format}, names: {report.layout})"


def numbers(patient: Patient) -> Iterator[Remark]:
    """NaN, infinity, denormal numbers, and matrices of one value."""
    if patient.checkpoint is None:
        yield "warning", "not examined, since the weights cannot be opened"
        return
    faults = 0
    for name in patient.checkpoint.source:
        tensor = patient.checkpoint.source.peek(name)
        if patient.checkpoint.name_map.reason_to_ignore(name) is None and tensor.is_floating_point() and tensor.numel():
            for remark in _of_tensor(patient.checkpoint.source.original[name], tensor):
                faults += 1
                yield remark
    if not faults:
        yield "ok", "all numbers are finite, none to speak of are denormal"


def _of_tensor(name: str, tensor: Tensor) -> Iterator[Remark]:
    values = tensor.detach().float()
    strange = values.numel() - int(torch.isfinite(values).sum())
    if strange:
        yield "error", f"{name}: {strange} of {values.numel()} values are NaN or infinite"
        return
    tiny = torch.finfo(torch.float32).tiny
    denormal = int(((values.abs() < tiny) & (values != 0)).sum())
    if denormal > MANY_DENORMALS * values.numel():
        yield "warning", f"{name}: {denormal} of {values.numel()} values are denormal, slow on CPUs; set them to 0"
    if values.dim() > 1 and values.numel() > 1 and bool((values == values.flatten()[0]).all()):
        yield "warning", f"{name}: all values are {float(values.flatten()[0]):g}; was it never trained?"


def tied_weights(patient: Patient) -> Iterator[Remark]:
    """Are stored copies of a tensor really equal to it?"""
    if patient.checkpoint is None:
        yield "warning", "not examined, since the weights cannot be opened"
        return
    source, name_map = patient.checkpoint.source, patient.checkpoint.name_map
    tied = [(part, rule) for part, rules in name_map.parts.items() for rule, _ in expand(rules, 1) if rule.tied_to]
    copies = 0
    for part, rule in tied:
        copy, original = source.find(part, rule, 0), _original(patient, rule.tied_to or "")
        if copy is None or original is None or not patient.checkpoint.config.tie_word_embeddings:
            continue
        copies += 1
        if source.peek(copy).shape != original.shape or not torch.equal(source.peek(copy), original):
            yield "error", f"{source.original[copy]} should repeat the word embeddings and does not"
        else:
            yield "ok", f"{source.original[copy]} repeats the word embeddings"
    if not copies:
        yield "ok", "no tensor is stored twice"


def _original(patient: Patient, ours: str) -> Tensor | None:
    """The stored tensor of one of our names, such as backbone.embeddings.word.weight."""
    assert patient.checkpoint is not None
    part, _, name = ours.partition(".")
    source = patient.checkpoint.source
    for rule in patient.checkpoint.name_map.parts.get(part, ()):
        found = source.find(part, rule, 0) if rule.names == (name,) else None
        if found is not None:
            return rule.read(source.peek(found))[0]
    return None


def labels(patient: Patient) -> Iterator[Remark]:
    """Do the classes have names, as many as the classifier has rows?"""
    if patient.checkpoint is None or patient.config is None:
        yield "warning", "not examined, since the weights cannot be opened"
        return
    rule = next((r for r in patient.checkpoint.name_map.parts.get("classifier", ()) if r.names == ("weight",)), None)
    stored = None if rule is None else patient.checkpoint.source.find("classifier", rule, 0)
    heads = patient.checkpoint.stored_heads()
    if rule is None or stored is None or not {"sequence_classification", "token_classification"} & set(heads):
        yield "ok", "there is no classifier"
        return
    rows = int(rule.read(patient.checkpoint.source.peek(stored))[0].shape[0])
    names = patient.checkpoint.config.labels
    if rows != len(names):
        yield "error", f"the classifier has {rows} rows, the config names {len(names)} classes: {', '.join(names[:8])}"
    elif rows > 1 and names == tuple(default_labels(rows).values()):
        yield "warning", f"the {rows} classes have no names; add id2label to {patient.config[1]}"
    else:
        yield "ok", f"{rows} classes: {', '.join(names[:8])}"
    yield from _label_ids(patient)


def _label_ids(patient: Patient) -> Iterator[Remark]:
    """label2id, which plm does not read but others do, must be the inverse of id2label."""
    assert patient.config is not None
    raw, source = patient.config
    forward, backward = raw.get("id2label"), raw.get("label2id")
    if isinstance(forward, dict) and isinstance(backward, dict):
        wanted = {str(label): str(id_) for id_, label in forward.items()}
        if wanted != {str(label): str(id_) for label, id_ in backward.items()}:
            yield "error", f"{source}: label2id is not the inverse of id2label, so that other libraries mix up classes"
