"""A generator that answers from a file: for demonstrations and tests, never for production.

It has no intelligence and makes no claim to any: its answers go through the same gate as a model's.
"""

import json
from pathlib import Path
from typing import Any

import structlog

from selfbuild.adapters.prompt import clean_text, decline_reason
from selfbuild.domain.errors import Misconfigured
from selfbuild.domain.patches import PatchRequest, Proposal
from selfbuild.gate import AnswerProblem, read_answer

_log = structlog.get_logger()

ANY_COMPONENT = "*"


class ScriptedGenerator:
    """Gives the answer written down for a component, or one that fits the files shown.

    `path` is a JSON file or a folder of them, read in the order of their names. A file holds either

    - one answer, `{"summary": ..., "edits": [...]}`: given to every request whose shown files contain all its paths; or
    - answers by component, `{"transcribe": {...}, "*": {...}}`: given whatever their paths are, so that the gate's
      refusals can be shown as well. `"*"` stands for every component that has no answer of its own.

    Answers by component are looked for first.
    """

    name = "scripted"

    def __init__(self, path: Path) -> None:
        """Read the answers.

        Raises:
            Misconfigured: there is no such file, or it holds no answers.
        """
        self._path = path
        self._by_component: dict[str, dict[str, Any]] = {}
        self._fitting: list[dict[str, Any]] = []
        for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            self._add(file)
        if not self._by_component and not self._fitting:
            raise Misconfigured(f"no scripted answers in {str(path)!r}: put a JSON file there")

    async def propose(self, request: PatchRequest, *, timeout_s: float) -> Proposal:
        """The answer written down, or a refusal; `timeout_s` is not needed."""
        component = request.opportunity.insight.component
        answer = self._answer_for(request)
        if answer is None:
            return self._refusal(f"no scripted answer for component {clean_text(component, 100)!r} and the files shown")
        text = json.dumps(answer)
        reason = decline_reason(text)
        if reason is not None:
            return self._refusal(reason)
        patch = read_answer(text)
        if isinstance(patch, AnswerProblem):
            return self._refusal(f"answer {patch.check}: {clean_text(patch.reason, 500)}")
        _log.info("answer.received", provider=self.name, component=component, edits_count=len(patch.edits))
        return Proposal(provider=self.name, patch=patch, model=self._path.name, stop_reason="end_turn")

    def _answer_for(self, request: PatchRequest) -> dict[str, Any] | None:
        component = request.opportunity.insight.component
        named = self._by_component.get(component, self._by_component.get(ANY_COMPONENT))
        if named is not None:
            return named
        shown = {file.path for file in request.files}
        return next((answer for answer in self._fitting if _paths(answer) <= shown), None)

    def _refusal(self, reason: str) -> Proposal:
        return Proposal(provider=self.name, patch=None, refusal=reason, model=self._path.name, stop_reason="refusal")

    def _add(self, file: Path) -> None:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Misconfigured(f"scripted answers in {str(file)!r} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise Misconfigured(f"scripted answers in {str(file)!r} are not a JSON object")
        if "edits" in content:
            self._fitting.append(content)
            return
        for component, answer in content.items():
            if not isinstance(answer, dict):
                raise Misconfigured(f"the scripted answer for {component!r} in {str(file)!r} is not a JSON object")
            self._by_component.setdefault(component, answer)


def _paths(answer: dict[str, Any]) -> set[str]:
    """Paths of the edits; those of a malformed answer fit any request, so that the gate's parser says what is wrong."""
    edits = answer["edits"]
    if not isinstance(edits, list):
        return set()
    return {edit["path"] for edit in edits if isinstance(edit, dict) and isinstance(edit.get("path"), str)}
