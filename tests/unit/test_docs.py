"""What the documentation promises is there, and what is there is documented."""

import re
from pathlib import Path

import pytest

from selfbuild.settings import Settings
from selfbuild.temporal import SEARCH_ATTRIBUTES
from workflows import steps

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", sorted(name.upper() for name in Settings.model_fields))
def test_setting_is_documented(name: str) -> None:
    rows = (ROOT / "docs" / "settings.md").read_text().splitlines()

    assert any(re.search(rf"\b{name}\b", row.split("|")[1]) for row in rows if row.startswith("|"))


@pytest.mark.parametrize("name", SEARCH_ATTRIBUTES)
def test_search_attribute_is_documented(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "architecture.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_step_has_one_queue_that_a_worker_serves() -> None:
    assert {step.queue for step in steps.STEPS} == set(steps.QUEUES)
    assert len({step.name for step in steps.STEPS}) == len(steps.STEPS)


def test_rollback_alone_is_retried_without_end_whatever_the_error() -> None:
    whatever = [
        step.name for step in steps.STEPS if step.queue == "deploy" and not step.retry.non_retryable_error_types
    ]

    assert whatever == ["rollback"]
    assert steps.ROLL_BACK.retry.maximum_attempts == 0
    assert steps.ROLL_BACK.schedule_to_close_s is None
