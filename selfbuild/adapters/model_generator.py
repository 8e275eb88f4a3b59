"""Patches from a language model, whichever provider serves it. What it answers is read strictly; the gate decides."""

from typing import Any

import structlog

from selfbuild.adapters.prompt import ANSWER_SCHEMA, Prompt, build_prompt, clean_text, decline_reason
from selfbuild.domain.errors import MalformedAnswer
from selfbuild.domain.model_calls import ModelAnswer, ModelRequest, StopReason
from selfbuild.domain.patches import PatchRequest, Proposal
from selfbuild.gate import AnswerProblem, read_answer
from selfbuild.ports import LanguageModel

_log = structlog.get_logger()

REASON_CHARS = 500


class ModelGenerator:
    """Implements `ports.PatchGenerator` on a language model. One proposal is one request."""

    def __init__(self, model: LanguageModel, *, repair_model: str | None = None) -> None:
        """Take over a model; `repair_model` is what is asked for the last repair, None = the same."""
        self.name = model.name
        self._model = model
        self._repair_model = repair_model

    async def propose(self, request: PatchRequest, *, timeout_s: float) -> Proposal:
        """One answer of the model, or a refusal with its reason; see the port."""
        prompt = build_prompt(request)
        question = self._question(request, prompt)
        _log.info(
            "patch.asked",
            provider=self.name,
            prompt_version=prompt.version,
            prompt_digest=prompt.digest,
            exchanges_count=len(prompt.exchanges),
        )
        answer = await self._model.ask(question, timeout_s=timeout_s)
        return Proposal(
            provider=self.name,
            **self._read(answer),
            model=answer.model,
            request_id=answer.request_id,
            stop_reason=answer.stop_reason.value,
            usage=answer.usage,
            question=question,
            answer=answer,
        )

    def _question(self, request: PatchRequest, prompt: Prompt) -> ModelRequest:
        """What the model is sent."""
        last_repair = request.last_attempt and bool(request.exchanges)
        return ModelRequest(
            system=prompt.system,
            user=prompt.user,
            exchanges=prompt.exchanges,
            answer_schema=ANSWER_SCHEMA,
            schema_name="patch",
            model=self._repair_model if last_repair else None,
            spender=request.spender,
        )

    def _read(self, answer: ModelAnswer) -> dict[str, Any]:
        """`patch` or `refusal`. The reason for stopping comes first: a text that was cut off must not be read."""
        if answer.stop_reason is StopReason.REFUSED:
            reason = clean_text(answer.stop_detail or answer.text, REASON_CHARS) or "no reason given"
            return {"patch": None, "refusal": f"refused by the model: {reason}"}
        if answer.stop_reason is not StopReason.END:
            raise MalformedAnswer(
                f"{self.name} ended its answer with {clean_text(answer.stop_detail, 50)!r}: raise LLM_MAX_TOKENS if "
                "answers are cut off"
            )
        declined = decline_reason(answer.text)
        if declined is not None:
            return {"patch": None, "refusal": f"declined by the model: {declined}"}
        read = read_answer(answer.text)
        if isinstance(read, AnswerProblem):
            reason = clean_text(read.reason, REASON_CHARS)
            return {"patch": None, "refusal": f"answer {read.check}: {reason}", "repairable": True}
        return {"patch": read}
