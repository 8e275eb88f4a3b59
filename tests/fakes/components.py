"""What generate_component stands on, in memory; and valid requests, so that a test states only what matters to it."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from selfbuild.component_ports import ComponentCommit
from selfbuild.domain.components import (
    ComponentFile,
    ComponentGateReport,
    ComponentProposal,
    ComponentQuestion,
    ComponentReport,
    ComponentRequest,
    ComponentRequirements,
    ComponentStatus,
    ComponentType,
    Registration,
    new_report,
)
from selfbuild.domain.model_calls import ModelAnswer, ModelRequest, StopReason, Usage
from selfbuild.recipes.scaffolds import scaffold
from tests.builders import NOON, SHA_A


def some_requirements(**changes: Any) -> ComponentRequirements:
    fields: dict[str, Any] = {
        "name": "meeting-summary",
        "description": "Summarises meetings and finds who owns what.",
        "capabilities": ("Summarise meetings", "find owners"),
    }
    return ComponentRequirements(**{**fields, **changes})


def a_component_request(**changes: Any) -> ComponentRequest:
    fields: dict[str, Any] = {
        "tenant_id": "acme",
        "component_type": ComponentType.SKILL,
        "requirements": some_requirements(),
        "requested_by": "alice",
        "providers": ("recipes",),
    }
    return ComponentRequest(**{**fields, **changes})


def a_registered(request: ComponentRequest | None = None, **changes: Any) -> ComponentReport:
    asked = request or a_component_request()
    registration = Registration(
        key=f"{asked.tenant_id}/{asked.requirements.name}",
        version=0,
        repository="acme.git",
        branch=f"component/{asked.component_id}",
        commit=SHA_A,
        path=f"components/{asked.requirements.name}",
        registered_at=NOON,
    )
    fields: dict[str, Any] = {"status": ComponentStatus.REGISTERED, "registration": registration, "finished_at": NOON}
    return new_report(asked, NOON, workflow_id="component/acme/x").model_copy(update={**fields, **changes})


class FakeComponents:
    """Implements `component_ports.ComponentRegistry`."""

    def __init__(self) -> None:
        self._reports: dict[str, ComponentReport] = {}

    async def save(self, report: ComponentReport) -> ComponentReport:
        known = self._reports.get(report.component_id)
        if known is not None and known.status is ComponentStatus.REGISTERED:
            return known
        if report.registration is not None:
            same = [each for each in self._reports.values() if each.registration and _named(each) == _named(report)]
            version = 1 + max((each.registration.version for each in same if each.registration), default=0)
            key = f"{report.tenant_id}/{report.name}@{version}"
            registration = report.registration.model_copy(update={"version": version, "key": key})
            report = report.model_copy(update={"registration": registration})
        self._reports[report.component_id] = report
        return report

    async def find(self, component_id: str) -> ComponentReport | None:
        return self._reports.get(component_id)

    async def components(
        self, *, tenants: Sequence[str] | None, name: str | None = None, limit: int = 50
    ) -> tuple[ComponentReport, ...]:
        found = [
            each
            for each in self._reports.values()
            if (tenants is None or each.tenant_id in tenants) and name in (None, each.name)
        ]
        return tuple(sorted(found, key=lambda each: each.created_at, reverse=True)[:limit])


def _named(report: ComponentReport) -> tuple[str, str]:
    return report.tenant_id, report.name


class FakeModel:
    """Implements `ports.LanguageModel`: answers in turn, and remembers what it was asked."""

    def __init__(self, *answers: str | Mapping[str, Any] | Exception, name: str = "anthropic") -> None:
        self.name = name
        self.asked: list[ModelRequest] = []
        self._answers = list(answers)

    async def ask(self, request: ModelRequest, *, timeout_s: float) -> ModelAnswer:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return ModelAnswer(
            provider=self.name,
            model="model-1",
            text=answer if isinstance(answer, str) else json.dumps(answer),
            stop_reason=StopReason.END,
            usage=Usage(input_tokens=100, output_tokens=50, cost_usd=0.01),
        )

    async def aclose(self) -> None:
        return None


class FakeComponentGenerator:
    """Implements `component_ports.ComponentGenerator` with what a function says."""

    def __init__(self, name: str, propose: Callable[[ComponentQuestion], ComponentProposal]) -> None:
        self.name = name
        self.asked: list[ComponentQuestion] = []
        self._propose = propose

    async def propose(self, question: ComponentQuestion, *, timeout_s: float) -> ComponentProposal:
        self.asked.append(question)
        return self._propose(question)


class FakeComponentGate:
    """Implements `component_ports.ComponentGate`: what it was told, in turn, then acceptance."""

    def __init__(self, *reports: ComponentGateReport) -> None:
        self.seen: list[tuple[ComponentFile, ...]] = []
        self._reports = list(reports)

    async def validate(self, request: ComponentRequest, files: Sequence[ComponentFile]) -> ComponentGateReport:
        self.seen.append(tuple(files))
        return self._reports.pop(0) if self._reports else ComponentGateReport(accepted=True)


class FakeComponentRepository:
    """Implements `component_ports.ComponentRepository`."""

    def __init__(self) -> None:
        self.commits: list[tuple[str, Mapping[str, str]]] = []

    async def commit(
        self,
        request: ComponentRequest,
        files: Sequence[ComponentFile],
        *,
        subject: str,
        trailers: Mapping[str, str],
        at: datetime,
    ) -> ComponentCommit:
        self.commits.append((subject, dict(trailers)))
        branch = f"component/{request.component_id}"
        return ComponentCommit(repository="acme.git", branch=branch, commit=SHA_A, path="components/x")


def written_by_a_model(request: ComponentRequest) -> list[dict[str, str]]:
    """Files as a model would answer them: those of the scaffold, without what is written for the model."""
    return [file.model_dump() for file in scaffold(request).files if file.path != "pyproject.toml"]
