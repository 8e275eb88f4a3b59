"""Every way a cycle can end, on a real server that skips time. Each history must replay with today's code."""

import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

from selfbuild.domain.applications import Mode
from selfbuild.domain.base import Verdict, run8
from selfbuild.domain.cycles import CycleReport, CycleRequest, CycleStatus, ImprovementStatus
from selfbuild.domain.patches import GateReport
from selfbuild.domain.releases import Judgement
from tests.builders import SHA_A, SHA_C, a_cycle_request, a_policy, an_application, an_opportunity
from tests.workflow.conftest import WORKFLOWS, Serving
from tests.workflow.steps_double import Steps, accepted, failed, generated, passed, refused, undecided
from workflows import steps

HISTORIES = Path(__file__).parent.parent / "histories"


async def run_cycle(
    environment: WorkflowEnvironment, serving: Serving, doubles: Steps, *, keep: str | None = None, **changes: Any
) -> CycleReport:
    """Run a cycle to its end and replay its histories."""
    request = a_cycle_request(**changes)
    async with serving(environment.client, doubles):
        handle = await environment.client.start_workflow(
            "ImprovementCycle", request, id="cycle/acme/shop", task_queue="cycle", result_type=CycleReport
        )
        try:
            report: CycleReport = await handle.result()
            return report
        finally:
            await replay(environment, handle, request, keep=keep)


async def replay(
    environment: WorkflowEnvironment, handle: WorkflowHandle[Any, Any], request: CycleRequest, *, keep: str | None
) -> None:
    """Replay the finished cycle and its children; `keep` writes the histories for the replay of later versions."""
    replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter)
    children = [
        f"{handle.id}/{run8(handle.result_run_id or '')}/{number}"
        for number in range(1, request.policy.max_improvements + 1)
    ]
    for number, workflow_id in enumerate([handle.id, *children]):
        try:
            history = await environment.client.get_workflow_handle(workflow_id).fetch_history()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            continue  # never started
        await replayer.replay_workflow(history)
        kept = HISTORIES / f"{keep}-{number}.json.gz"
        if keep is not None and not kept.exists():
            document = {"workflow_id": workflow_id, "history": json.loads(history.to_json())}
            kept.write_bytes(gzip.compress(json.dumps(document).encode(), mtime=0))


async def test_healthy_canary_is_promoted(skipping: WorkflowEnvironment, serving: Serving) -> None:
    doubles = Steps()

    report = await run_cycle(skipping, serving, doubles, keep="kept")

    assert report.outcome == "improved"
    assert report.improvements[0].status is ImprovementStatus.KEPT
    assert len(doubles.promoted) == 1
    assert not doubles.live
    assert doubles.calls["monitor"] == 60


async def test_degraded_canary_is_rolled_back_and_its_patch_barred(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = Steps(judge=lambda request: failed(), rollback_failures=3)

    report = await run_cycle(skipping, serving, doubles, keep="rolled_back")

    improvement = report.improvements[0]
    assert report.outcome == "rolled_back"
    assert improvement.status is ImprovementStatus.ROLLED_BACK
    assert "5 times" in improvement.reason
    assert improvement.rollback is not None
    assert [each.bar_patch for each in doubles.rollbacks] == [True]
    assert not doubles.live
    assert not doubles.promoted


async def test_inconclusive_window_is_extended_then_rolled_back(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = Steps(judge=lambda request: undecided("3 requests are not enough"))

    report = await run_cycle(skipping, serving, doubles, keep="inconclusive")

    assert report.improvements[0].status is ImprovementStatus.ROLLED_BACK
    assert doubles.calls["monitor"] == 120
    assert [each.bar_patch for each in doubles.rollbacks] == [False]


async def test_four_unmeasurable_checks_in_a_row_roll_back(skipping: WorkflowEnvironment, serving: Serving) -> None:
    answers = ["ok", "no", "no", "no", "ok", "no", "no", "no", "no"]

    def judge(request: steps.MonitorRequest) -> Judgement:
        if answers.pop(0) == "no":
            raise ApplicationError("credentials expired", type="AccessDenied")
        return undecided()

    doubles = Steps(judge=judge)

    report = await run_cycle(skipping, serving, doubles, keep="unmeasurable")

    assert report.improvements[0].status is ImprovementStatus.ROLLED_BACK
    assert "could not measure" in report.improvements[0].reason
    assert not answers


async def test_releases_of_one_application_follow_each_other_worst_first(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    opportunities = tuple(an_opportunity(insight_id=f"insight-{n}", impact_score=10.0 - n) for n in range(3))
    doubles = Steps(opportunities=opportunities)

    report = await run_cycle(skipping, serving, doubles, keep="three")

    assert [each.status for each in report.improvements] == [ImprovementStatus.KEPT] * 3
    assert doubles.most_live == 1
    promoted = [line for line in doubles.log if line.startswith("promote")]
    assert promoted == ["promote 1-r1", "promote 2-r1", "promote 3-r1"]


async def test_worst_problem_is_released_first_even_when_its_patch_is_ready_last(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    overloads = 2

    def answer(request: steps.GenerateRequest) -> steps.Generated:
        nonlocal overloads
        if request.opportunity.opportunity_id == "worst" and overloads:
            overloads -= 1
            raise ApplicationError("overloaded", type="ProviderOverloaded")
        return generated()

    doubles = Steps(
        opportunities=(an_opportunity(insight_id="worst"), an_opportunity(insight_id="other", impact_score=1.0)),
        generate_answer=answer,
    )

    await run_cycle(skipping, serving, doubles)

    assert [line for line in doubles.log if line.startswith("promote")] == ["promote 1-r1", "promote 2-r1"]


async def test_refusal_of_one_provider_asks_the_next(skipping: WorkflowEnvironment, serving: Serving) -> None:
    def answer(request: steps.GenerateRequest) -> steps.Generated:
        if request.provider == "anthropic":
            raise ApplicationError("spending limit reached", type="QuotaExhausted")
        return generated(provider=request.provider)

    doubles = Steps(generate_answer=answer)

    report = await run_cycle(skipping, serving, doubles, providers=("anthropic", "recipes"), keep="failover")

    assert report.outcome == "improved"
    assert report.improvements[0].attempts == (
        "anthropic: QuotaExhausted: spending limit reached",
        "recipes: patch by recipes",
    )


async def test_overloaded_provider_is_retried_within_its_budget(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    def answer(request: steps.GenerateRequest) -> steps.Generated:
        raise ApplicationError("overloaded", type="ProviderOverloaded")

    doubles = Steps(generate_answer=answer)

    report = await run_cycle(skipping, serving, doubles, policy=a_policy(dependency_max_attempts=4), keep="no_patch")

    assert report.outcome == "no_patch"
    assert doubles.calls["generate"] == 4
    assert doubles.calls["deploy"] == 0


async def test_gate_words_go_back_to_the_generator(skipping: WorkflowEnvironment, serving: Serving) -> None:
    verdicts = [refused("syntax", "Validation failed: Syntax error on line 42"), accepted()]
    doubles = Steps(gate=lambda request: verdicts.pop(0))

    policy = a_policy(risk_tolerance=0.3)
    report = await run_cycle(skipping, serving, doubles, providers=("anthropic",), policy=policy)

    assert report.outcome == "improved"
    assert doubles.log[:4] == ["generate anthropic 0", "validate a", "generate anthropic 1", "validate a"]


async def test_repair_gets_earlier_answers_and_what_was_refused(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    asked: list[steps.GenerateRequest] = []

    def answer(request: steps.GenerateRequest) -> steps.Generated:
        asked.append(request)
        if len(asked) == 1:
            return generated(provider="anthropic", refusal="answer format: not JSON", repairable=True)
        return generated(provider="anthropic", nth=len(asked))

    verdicts = [refused("tests", "test_total fails").model_copy(update={"feedback": "test_total: 3 != 2"}), accepted()]
    doubles = Steps(gate=lambda request: verdicts.pop(0), generate_answer=answer)

    report = await run_cycle(
        skipping, serving, doubles, providers=("anthropic",), policy=a_policy(risk_tolerance=0.3), keep="repaired"
    )

    assert report.outcome == "improved"
    assert [each.feedback for each in asked[2].exchanges] == ["answer format: not JSON", "test_total: 3 != 2"]
    assert [each.answer and each.answer.digest[0] for each in asked[2].exchanges] == ["1", "2"]
    assert [request.last_attempt for request in asked] == [False, False, True]
    assert asked[2].tried == ("2" * 64,)


@pytest.mark.parametrize(
    ("classes", "asked"),
    [
        pytest.param(("tests", "types", "lint"), ["anthropic"] * 3 + ["recipes"], id="three answers are the most"),
        pytest.param(("tests", "tests"), ["anthropic"] * 2 + ["openai", "recipes"], id="failing alike ends a provider"),
    ],
)
async def test_models_get_three_answers_together_then_recipes_are_asked(
    skipping: WorkflowEnvironment, serving: Serving, classes: tuple[str, ...], asked: list[str]
) -> None:
    verdicts = [refused(each, f"{each} failed") for each in classes]

    def gate(request: steps.ValidateRequest) -> GateReport:
        if request.patch.provider == "recipes":
            return accepted()
        return verdicts.pop(0) if verdicts else refused("syntax", "no")

    doubles = Steps(gate=gate)

    report = await run_cycle(skipping, serving, doubles, providers=("anthropic", "openai", "recipes"))

    assert [line.split()[1] for line in doubles.log if line.startswith("generate")] == asked
    assert report.outcome == "improved"


async def test_same_patch_again_is_not_validated_again(skipping: WorkflowEnvironment, serving: Serving) -> None:
    doubles = Steps(
        gate=lambda request: refused("tests", "no"), generate_answer=lambda request: generated(provider="anthropic")
    )

    report = await run_cycle(skipping, serving, doubles, providers=("anthropic",))

    assert report.outcome == "no_patch"
    assert doubles.calls["validate"] == 1


async def test_refused_recipe_goes_on_to_the_next_one(skipping: WorkflowEnvironment, serving: Serving) -> None:
    verdicts = [refused("scope", "touches another function"), refused("scope", "touches another function"), accepted()]
    doubles = Steps(gate=lambda request: verdicts.pop(0))

    report = await run_cycle(skipping, serving, doubles, providers=("recipes",))

    assert report.outcome == "improved"
    assert doubles.calls["generate"] == 3


@pytest.mark.parametrize("reason_class", ["path", "scope", "unicode", "code"])
async def test_security_refusal_is_final(skipping: WorkflowEnvironment, serving: Serving, reason_class: str) -> None:
    doubles = Steps(gate=lambda request: refused(reason_class, "touches CI"))

    report = await run_cycle(skipping, serving, doubles, providers=("anthropic", "recipes"))

    assert report.improvements[0].status is ImprovementStatus.REJECTED
    assert doubles.calls["generate"] == 1
    assert doubles.calls["deploy"] == 0


async def test_gate_that_could_not_decide_deploys_nothing(skipping: WorkflowEnvironment, serving: Serving) -> None:
    doubles = Steps(gate=lambda request: accepted(verdict=Verdict.INCONCLUSIVE, message="no sandbox on this machine"))

    report = await run_cycle(skipping, serving, doubles, keep="rejected")

    assert report.improvements[0].status is ImprovementStatus.REJECTED
    assert "no sandbox" in report.improvements[0].reason
    assert doubles.calls["deploy"] == 0


@pytest.mark.parametrize("heads", [[], [SHA_C]])
async def test_what_a_person_must_agree_to_is_not_deployed(
    skipping: WorkflowEnvironment, serving: Serving, heads: list[str]
) -> None:
    unsure = accepted(needs_approval=("no reproducer could be built",))
    verdicts = [accepted(), unsure] if heads else [unsure]
    doubles = Steps(gate=lambda request: verdicts.pop(0), heads=heads)

    report = await run_cycle(skipping, serving, doubles)

    assert report.improvements[0].status is ImprovementStatus.REJECTED
    assert "no reproducer could be built" in report.improvements[0].reason
    assert doubles.calls["deploy"] == 0


async def test_branch_that_moved_is_validated_again(skipping: WorkflowEnvironment, serving: Serving) -> None:
    doubles = Steps(heads=[SHA_C])

    report = await run_cycle(skipping, serving, doubles)

    assert report.outcome == "improved"
    assert [line for line in doubles.log if line.startswith("validate")] == ["validate a", "validate c"]


async def test_push_during_deploy_tries_again_under_a_new_release_id(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = Steps(deploy_error=ApplicationError("main moved on", type="Conflict"), heads=[SHA_A, SHA_C])

    report = await run_cycle(skipping, serving, doubles, keep="moved")

    assert report.outcome == "improved"
    assert doubles.log[-4:] == ["validate c", "deploy begins 1-r2", "deploy 1-r2", "promote 1-r2"]
    assert [(each.release_id[-2:], each.bar_patch) for each in doubles.rollbacks] == [("r1", False)]


async def test_release_that_does_not_become_healthy_is_rolled_back(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = Steps(deploy_error=ApplicationError("ImportError in meetnotes", type="InvalidRequest"))

    report = await run_cycle(skipping, serving, doubles, keep="unhealthy")

    assert report.improvements[0].status is ImprovementStatus.ROLLED_BACK
    assert [each.bar_patch for each in doubles.rollbacks] == [True]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"dry_run": True}, id="dry-run"),
        pytest.param({"application": an_application(mode=Mode.OBSERVE)}, id="observe"),
    ],
)
async def test_observing_cycle_ranks_and_changes_nothing(
    skipping: WorkflowEnvironment, serving: Serving, changes: dict[str, Any]
) -> None:
    doubles = Steps()

    report = await run_cycle(skipping, serving, doubles, **changes)

    assert report.outcome == "observed"
    assert len(report.opportunities) == 1
    assert doubles.calls["generate"] == 0


async def test_nothing_to_improve_is_said(skipping: WorkflowEnvironment, serving: Serving) -> None:
    report = await run_cycle(skipping, serving, Steps(opportunities=()), keep="nothing")

    assert report.outcome == "no_opportunities"
    assert report.status is CycleStatus.COMPLETED


async def test_deploying_switched_off_ends_before_the_release(skipping: WorkflowEnvironment, serving: Serving) -> None:
    doubles = Steps()

    report = await run_cycle(skipping, serving, doubles, deploy_allowed=False)

    assert report.improvements[0].status is ImprovementStatus.REJECTED
    assert "ENABLE_AUTONOMOUS_IMPROVEMENTS" in report.improvements[0].reason
    assert doubles.calls["deploy"] == 0


@pytest.mark.parametrize(
    ("provider", "risk", "tolerance", "deployed"),
    [
        pytest.param("recipes", 0.05, 0.1, 1, id="recipe-of-low-risk"),
        pytest.param("recipes", 0.2, 0.1, 0, id="recipe-of-high-risk"),
        pytest.param("anthropic", 0.05, 0.1, 0, id="model"),
        pytest.param("anthropic", 0.05, 0.3, 1, id="model-tolerated"),
    ],
)
async def test_risk_above_the_tolerance_is_left_to_a_person(
    skipping: WorkflowEnvironment, serving: Serving, provider: str, risk: float, tolerance: float, deployed: int
) -> None:
    doubles = Steps(opportunities=(an_opportunity(risk=risk),))

    await run_cycle(skipping, serving, doubles, providers=(provider,), policy=a_policy(risk_tolerance=tolerance))

    assert doubles.calls["deploy"] == deployed


async def test_refused_credentials_fail_the_cycle_at_once_and_are_recorded(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = Steps(collect_error=ApplicationError("not authorized to GetMetricData", type="AccessDenied"))

    with pytest.raises(WorkflowFailureError) as failure:
        await run_cycle(skipping, serving, doubles, keep="failed")

    assert isinstance(failure.value.cause, ApplicationError)
    assert doubles.calls["collect"] == 1
    assert doubles.cycles[-1].status is CycleStatus.FAILED
    assert "not authorized" in doubles.cycles[-1].notes[0]


async def test_operator_takes_a_release_back_while_it_is_watched(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = Steps()
    async with serving(skipping.client, doubles):
        handle = await skipping.client.start_workflow(
            "ImprovementCycle", a_cycle_request(), id="cycle/acme/shop", task_queue="cycle", result_type=CycleReport
        )
        await skipping.sleep(timedelta(minutes=5))
        child = f"cycle/acme/shop/{run8(handle.result_run_id or '')}/1"
        await skipping.client.get_workflow_handle(child).signal("roll_back", "customers complain")
        report = await handle.result()

    assert report.improvements[0].status is ImprovementStatus.ROLLED_BACK
    assert "customers complain" in report.improvements[0].reason
    assert doubles.calls["monitor"] < 10


async def test_each_phase_is_timed(skipping: WorkflowEnvironment, serving: Serving) -> None:
    report = await run_cycle(skipping, serving, Steps(judge=lambda request: passed()))

    assert set(report.improvements[0].phase_s) >= {"generating", "validating", "deploying", "monitoring"}
    assert report.improvements[0].phase_s["monitoring"] >= 3600
