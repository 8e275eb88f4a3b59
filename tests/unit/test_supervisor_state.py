"""The supervisor's state: complete on disk or not changed, and never guessed."""

from pathlib import Path

import pytest

from selfbuild.domain.errors import Misconfigured
from selfbuild.supervisor.state import RunningRelease, State, StateFile
from tests.builders import SHA_A, SHA_B

BASELINE = RunningRelease(sha=SHA_A, tree=Path("/releases/a"))
CANARY = RunningRelease(sha=SHA_B, tree=Path("/releases/b"), release_id="rel-1")


def test_saved_state_is_loaded_and_no_state_is_none(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "made")
    state = State(baseline=BASELINE, canary=CANARY, barred=("rel-0",))

    assert file.load() is None
    file.save(State(baseline=CANARY))
    file.save(state)

    assert StateFile(tmp_path / "made").load() == state
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["supervisor.json"]


def test_left_over_of_a_killed_save_changes_nothing(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.save(State(baseline=BASELINE))
    (tmp_path / "supervisor.partial").write_text('{"baseline": ')

    assert file.load() == State(baseline=BASELINE)
    file.save(State(baseline=CANARY))
    assert file.load() == State(baseline=CANARY)


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"baseline": {"sha": "short", "tree": "/x"}}'])
def test_file_that_is_no_state_is_misconfigured(tmp_path: Path, text: str) -> None:
    (tmp_path / "supervisor.json").write_text(text)

    with pytest.raises(Misconfigured, match=r"supervisor\.json"):
        StateFile(tmp_path).load()


def test_field_of_a_newer_supervisor_is_ignored(tmp_path: Path) -> None:
    text = State(baseline=BASELINE).model_dump_json()
    (tmp_path / "supervisor.json").write_text(text[:-1] + ', "later": 1}')

    assert StateFile(tmp_path).load() == State(baseline=BASELINE)


@pytest.mark.parametrize(
    ("release_id", "canary"),
    [pytest.param("rel-1", None, id="on trial"), pytest.param("rel-2", CANARY, id="another")],
)
def test_barring_takes_out_only_the_release_it_names(release_id: str, canary: RunningRelease | None) -> None:
    barred = State(baseline=BASELINE, canary=CANARY, barred=("rel-0",)).with_barred(release_id)

    assert barred == State(baseline=BASELINE, canary=canary, barred=("rel-0", release_id))
    assert barred.with_barred(release_id) == barred


def test_promotion_makes_the_canary_the_only_release_and_keeps_the_bars() -> None:
    promoted = State(baseline=BASELINE, canary=CANARY, barred=("rel-0",)).promoted()

    assert promoted == State(baseline=CANARY, barred=("rel-0",))
    assert promoted.releases() == (CANARY,)
