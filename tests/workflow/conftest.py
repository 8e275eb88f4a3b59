"""Real Temporal servers: a time-skipping one for an hour in a second, a development server for cancel and terminate."""

import shutil
import sysconfig
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from selfbuild.temporal import SEARCH_ATTRIBUTES
from tests.workflow.steps_double import Steps
from workflows import steps
from workflows.alarm_gate import AlarmGate
from workflows.alarm_reconciler import AlarmReconciler
from workflows.component import GenerateComponent
from workflows.cycle_launcher import CycleLauncher
from workflows.improvement import Improvement
from workflows.improvement_cycle import ImprovementCycle
from workflows.release_reconciler import ReleaseReconciler
from workflows.rollback_release import RollbackRelease

WORKFLOWS: Sequence[type] = (
    ImprovementCycle,
    Improvement,
    RollbackRelease,
    ReleaseReconciler,
    AlarmGate,
    AlarmReconciler,
    CycleLauncher,
    GenerateComponent,
)
Serving = Callable[[Client, Steps], Any]


def _binary(name: str) -> str:
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    assert found is not None, f"{name} is not installed: ./run test installs it"
    return found


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server whose clock jumps over timers."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=_binary("temporal-test-server"), data_converter=pydantic_data_converter
    ) as environment:
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=environment.client.namespace,
                search_attributes=dict.fromkeys(SEARCH_ATTRIBUTES, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
            )
        )
        yield environment


@asynccontextmanager
async def dev_server(*dynamic_config: str) -> AsyncIterator[WorkflowEnvironment]:
    """The development server, with the wall clock and `name=value` settings of its own."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=_binary("temporal"),
        data_converter=pydantic_data_converter,
        search_attributes=[SearchAttributeKey.for_keyword(name) for name in SEARCH_ATTRIBUTES],
        dev_server_log_level="error",
        dev_server_extra_args=[part for each in dynamic_config for part in ("--dynamic-config-value", each)],
    ) as environment:
        yield environment


@pytest.fixture
async def server() -> AsyncIterator[WorkflowEnvironment]:
    """The development server, with the wall clock."""
    async with dev_server() as environment:
        yield environment


@pytest.fixture
def serving() -> Serving:
    """Workers on every queue with the doubles in place of activities."""

    @asynccontextmanager
    async def serve(client: Client, doubles: Steps) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for queue in steps.QUEUES:
                worker = Worker(
                    client,
                    task_queue=queue,
                    workflows=WORKFLOWS if queue == steps.CYCLE_QUEUE else (),
                    activities=doubles.of_queue(queue),
                    max_heartbeat_throttle_interval=timedelta(seconds=0.2),
                )
                await stack.enter_async_context(worker)
            yield

    return serve
