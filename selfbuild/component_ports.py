"""What generating components needs from the world, beside the ports that improvements use."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from selfbuild.domain.base import AwareDatetime, Value
from selfbuild.domain.components import (
    ComponentFile,
    ComponentGateReport,
    ComponentProposal,
    ComponentQuestion,
    ComponentReport,
    ComponentRequest,
)


class ComponentGenerator(Protocol):
    """Writes the files of a component. It is never trusted: the gate decides."""

    name: str

    async def propose(self, question: ComponentQuestion, *, timeout_s: float) -> ComponentProposal:
        """One answer, or a refusal with its reason.

        Raises:
            Throttled, ProviderOverloaded, Unreachable: worth trying again.
            AccessDenied, QuotaExhausted, InvalidRequest, MalformedAnswer, Misconfigured: ask the next provider.
        """
        ...


class ComponentGate(Protocol):
    """All that the files of a component must pass before they are registered."""

    async def validate(self, request: ComponentRequest, files: Sequence[ComponentFile]) -> ComponentGateReport:
        """Every check, cheap to dear. A refusal is a value with check, place and remedy.

        Raises:
            Unreachable: the sandbox did not start. That is never a verdict on the component.
        """
        ...


class ComponentCommit(Value):
    """Where the files of a component were written to."""

    repository: str
    """Without credentials."""
    branch: str
    commit: str
    path: str


class ComponentRepository(Protocol):
    """The tenants' component repositories: one branch a component."""

    async def commit(
        self,
        request: ComponentRequest,
        files: Sequence[ComponentFile],
        *,
        subject: str,
        trailers: Mapping[str, str],
        at: AwareDatetime,
    ) -> ComponentCommit:
        """Write the files to the component's branch and push it.

        Safe to run twice: where the branch ends in a commit of the same files, that one is returned.

        Raises:
            Conflict: the branch moves on faster than it can be pushed.
            AccessDenied, NotFound, Unreachable: as their docstrings say.
        """
        ...


class ComponentRegistry(Protocol):
    """Components by tenant; survives restarts."""

    async def save(self, report: ComponentReport) -> ComponentReport:
        """Insert or replace by `component_id`; what is registered stays so.

        A registration gets its version here: the one it had, else the next one of its tenant and name.
        """
        ...

    async def find(self, component_id: str) -> ComponentReport | None: ...

    async def components(
        self, *, tenants: Sequence[str] | None, name: str | None = None, limit: int = 50
    ) -> tuple[ComponentReport, ...]:
        """Newest first; `tenants` None = all."""
        ...
