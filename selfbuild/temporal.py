"""How to reach Temporal: one data converter, one namespace, the search attributes that must exist there."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from selfbuild.domain.errors import Unreachable

SEARCH_ATTRIBUTES = ("TenantId", "Application", "CycleId", "Phase", "Outcome")
"""All of type Keyword. They are not encrypted: no secrets."""
RETENTION = timedelta(days=30)
"""How long closed cycles stay readable in the UI."""


async def connect(address: str, namespace: str, *, lazy: bool = False) -> Client:
    """A client with our data converter; `lazy` connects at the first call, so that the API starts before Temporal.

    Raises:
        Unreachable: no server at `address`.
    """
    try:
        return await Client.connect(address, namespace=namespace, data_converter=pydantic_data_converter, lazy=lazy)
    except RuntimeError as error:  # how the SDK reports a failed connection
        raise Unreachable(
            f"no Temporal server at {address}: start one with './run up', or set TEMPORAL_ADDRESS"
        ) from error


async def prepare_namespace(address: str, namespace: str) -> None:
    """Create the namespace and its search attributes where they are missing. Safe to run twice."""
    client = await connect(address, namespace)
    service = client.workflow_service
    try:
        await service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        retention = Duration(seconds=int(RETENTION.total_seconds()))
        await service.register_namespace(
            RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=retention)
        )
    known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))
    missing = {
        name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        for name in SEARCH_ATTRIBUTES
        if name not in known.custom_attributes
    }
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=namespace, search_attributes=missing)
        )
