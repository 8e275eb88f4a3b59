"""Histories of every outcome, as earlier versions wrote them, must replay with today's code.

A history that stops at a wait point catches less than a completed one, so these are completed.
"""

import gzip
import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from tests.workflow.conftest import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent.parent / "histories").glob("*.json.gz"))


def test_every_outcome_has_a_history() -> None:
    names = {path.name.rpartition("-")[0] for path in HISTORIES}

    assert names >= {"kept", "rolled_back", "inconclusive", "rejected", "moved", "unhealthy", "failed", "nothing"}


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.name)
async def test_history_replays(path: Path) -> None:
    replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter)

    document = json.loads(gzip.decompress(path.read_bytes()))

    await replayer.replay_workflow(WorkflowHistory.from_json(document["workflow_id"], document["history"]))
