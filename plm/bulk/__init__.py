"""Bulk work: files of any size, row by row, through a model; killed and called again, it goes on."""

from __future__ import annotations

from plm.bulk.cluster import ray_engine
from plm.bulk.jobs import POOLINGS, Ask, Embed, Job, Predict, Row
from plm.bulk.outputs import OUTPUTS, Output
from plm.bulk.records import RECORDS, RecordFormat, Records
from plm.bulk.running import Done, Effort, Engine, Table, answer_file

__all__ = [
    "OUTPUTS",
    "POOLINGS",
    "RECORDS",
    "Ask",
    "Done",
    "Effort",
    "Embed",
    "Engine",
    "Job",
    "Output",
    "Predict",
    "RecordFormat",
    "Records",
    "Row",
    "Table",
    "answer_file",
    "ray_engine",
]
