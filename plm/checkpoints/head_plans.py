"""The heads of a model that has several: in its config file, among its tensors, and which of them a caller means.

In a folder with several heads the first one is stored as if it were alone, so that other libraries open the folder as a
model with that head. The others, and heads of third parties, keep our own names, `heads.slots.classifier.weight`, and
config.json lists them all:

    "heads": [
        {"kind": "sequence_classification", "name": "intent"},
        {"kind": "token_classification", "name": "slots", "options": {"labels": ["O", "B-city"]}},
        {"name": "old_intent", "shared_with": "intent"}
    ]

Options are what differs from the rest of the file, which speaks of the first head.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plm.config import from_dict
from plm.errors import CheckpointError, ConfigError
from plm.heads.head import HEADS
from plm.heads.several import HeadPlan, Plans

# The key of the list in config.json.
KEY = "heads"


def are_plain(plans: Plans) -> bool:
    """True when a layout's own names say all about these heads: kinds without options that share no part."""
    if any(name != plan.kind or plan.options or not _has_names(name) for name, plan in plans.items()):
        return False
    parts = [part for name in plans for part in _parts(name)]
    return len(parts) == len(set(parts))


def in_the_table(plans: Plans) -> dict[str, str]:
    """Names and kinds of the heads that are stored under the names of a layout's table; the others keep ours."""
    own = {name: plan.kind for name, plan in plans.items() if plan.kind is not None}
    first = list(own.items())[:1]
    return own if are_plain(plans) else {name: kind for name, kind in first if _has_names(kind)}


def write_plans(plans: Plans) -> list[dict[str, Any]]:
    """Settled plans as JSON values."""
    return [
        {"name": name, "shared_with": plan.shared_with}
        if plan.kind is None
        else {"name": name, "kind": plan.kind} | ({"options": _as_json(plan.options)} if plan.options else {})
        for name, plan in plans.items()
    ]


def read_plans(rows: Sequence[Any], *, source: str, overridden: Collection[str] = ()) -> dict[str, HeadPlan]:
    """Plans from JSON values, in their order.

    source: the file, for messages. overridden: config fields that a caller gave: they win over every option.
    Raises ConfigError for a row that is no head, and for a name that comes twice.
    """
    plans: dict[str, HeadPlan] = {}
    for number, row in enumerate(rows):
        where = f"{source}: {KEY}[{number}]"
        if not isinstance(row, Mapping):
            raise ConfigError(f"{where}: expected an object with name and kind, got {type(row).__name__}")
        entry = from_dict(_Entry, row, source=where)
        if entry.name in plans:
            raise ConfigError(f"{where}: {entry.name!r} is there twice")
        options = {name: value for name, value in entry.options.items() if _field(name) not in overridden}
        try:
            plans[entry.name] = HeadPlan(entry.kind, options, shared_with=entry.shared_with)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
    return plans


@dataclass(frozen=True)
class Wanted:
    """The heads of a model to be filled, and where a checkpoint has them; those in neither mapping it has not.

    in_table: name -> kind, stored under the names of the table. own: name -> the name that they are stored under.
    """

    plans: Plans
    in_table: Mapping[str, str]
    own: Mapping[str, str]


def wanted_heads(heads: Collection[str] | Plans | None, *, stored: Plans, kinds: Collection[str], entry: Any) -> Wanted:
    """What a caller means by `heads`.

    heads: kinds; () = the backbone alone. Plans: those that the checkpoint has under the same name and kind come from
        there, with their options where the plan does not say otherwise. None = everything that is stored.
    stored: plans in the config file, if any. kinds: of the heads in the table. entry: the file, for messages.
    Raises CheckpointError when several stored heads are of a kind that is asked for.
    """
    if not stored:
        plans = heads if isinstance(heads, Mapping) else {kind: HeadPlan(kind) for kind in heads or ()}
        plans = {kind: HeadPlan(kind) for kind in kinds} if heads is None else plans
        in_table = _takers(plans, kinds) if isinstance(heads, Mapping) else {kind: kind for kind in plans}
        return Wanted(plans, in_table, {})
    if heads is None:
        plans, origins = stored, {name: name for name in stored}
    elif isinstance(heads, Mapping):
        origins = {name: name for name, plan in heads.items() if plan.kind == _kind(stored, name) is not None}
        plans = {name: _merged(plan, stored, origins.get(name)) for name, plan in heads.items()}
    else:
        origins = {kind: name for kind in heads if (name := _only_one(stored, kind, entry)) is not None}
        plans = {kind: _merged(HeadPlan(kind), stored, origins.get(kind)) for kind in heads}
    roots = {name: stored[origin].shared_with or origin for name, origin in origins.items() if plans[name].kind}
    first = next(iter(stored))
    in_table = {
        name: kind for name, root in roots.items() if root == first and _has_names(kind := str(plans[name].kind))
    }
    return Wanted(plans, in_table, {name: root for name, root in roots.items() if name not in in_table})


def one_head(head: str | None, stored: Plans) -> Collection[str] | Plans:
    """What `wanted_heads` takes for one head. head: its stored name, or else its kind; None = the backbone alone."""
    if head is None:
        return ()
    kind = _kind(stored, head)
    return (head,) if kind is None else {head: HeadPlan(kind)}


def _kind(stored: Plans, name: str) -> str | None:
    """The kind of a stored head, also of a shared one; None = there is no such head."""
    plan = stored.get(name)
    return None if plan is None else stored[plan.shared_with or name].kind


def _merged(plan: HeadPlan, stored: Plans, origin: str | None) -> HeadPlan:
    """A plan that says nothing about some options has those that are stored."""
    if origin is None:
        return plan
    return HeadPlan(plan.kind, {**stored[stored[origin].shared_with or origin].options, **plan.options})


def _only_one(stored: Plans, kind: str, entry: Any) -> str | None:
    """The stored head of a kind: that of its name, or the only one."""
    if _kind(stored, kind) == kind:
        return kind
    names = [name for name, plan in stored.items() if plan.kind == kind]
    if len(names) > 1:
        raise CheckpointError(
            f"{entry}: holds several heads of the kind {kind!r} ({', '.join(names)}): open it with AutoModelForTasks "
            "and take model.with_head(name)"
        )
    return next(iter(names), None)


def _takers(plans: Plans, kinds: Collection[str]) -> dict[str, str]:
    """Which of some new heads start from what a checkpoint without plans stores: the first to want each part.

    A part that is stored as that of another kind of head, such as its classifier, is not taken.
    """
    takers: dict[str, str] = {}
    taken: set[str] = set()
    for name, plan in plans.items():
        if plan.kind is None:
            continue
        parts = set(_parts(plan.kind))
        is_another = plan.kind not in kinds and any(parts == set(_parts(kind)) for kind in kinds)
        if not is_another and not parts & taken:
            takers[name] = plan.kind
            taken |= parts
    return takers


def _has_names(kind: str) -> bool:
    """True when layouts may have names for a head; those of third parties have none."""
    return kind in HEADS and bool(HEADS.get(kind).parts)


def _parts(kind: str) -> list[str]:
    return [part for _, part in HEADS.get(kind).parts]


def _as_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Names of classes as a list."""
    names = options.get("id2label")
    rest = {name: value for name, value in options.items() if name != "id2label"}
    return rest | ({"labels": names and [names[i] for i in range(len(names))]} if "id2label" in options else {})


def _field(option: str) -> str:
    return "id2label" if option in ("labels", "num_labels") else option


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One row of the list."""

    name: str
    kind: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    shared_with: str | None = None
