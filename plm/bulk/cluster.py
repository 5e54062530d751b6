"""Bulk work on a cluster, as jobs of Ray Data: `pip install "plm[ray]"`."""

from __future__ import annotations

from typing import cast

from plm.bulk.running import Engine
from plm.corpus import ray_engine as corpus_engine


def ray_engine(address: str | None = None) -> Engine:
    """An engine of `answer_file`: blocks of rows go out, answers come back, and the process that calls writes them.

    address: of the cluster, see plm.corpus.ray_engine. Every machine needs plm, and the model under the same name; a
    process takes one CPU, opens the model once, and what it was doing when it died is done again elsewhere.
    Raises BackendUnavailable without Ray.
    """
    # Whatever travels can be a block: that of a corpus says in its type only what it is mostly used for.
    return cast("Engine", corpus_engine.ray_engine(address, blocks_per_task=1))
