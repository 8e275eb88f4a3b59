"""What the supervisor must serve, kept on disk: written before anything is done, so that a restart takes it up."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints, ValidationError

from selfbuild.domain.base import Sha, Value
from selfbuild.domain.errors import Misconfigured

ReleaseId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}$")]


class RunningRelease(Value):
    """A release as workers run it."""

    sha: Sha
    tree: Path
    release_id: ReleaseId | None = None
    """None for a baseline that never was a canary."""


class State(Value):
    """What must be served."""

    baseline: RunningRelease
    canary: RunningRelease | None = None
    barred: tuple[str, ...] = ()
    """Releases that may never become a canary again, oldest first."""

    def releases(self) -> tuple[RunningRelease, ...]:
        """Baseline, then canary."""
        return (self.baseline,) if self.canary is None else (self.baseline, self.canary)

    def with_barred(self, release_id: str) -> "State":
        """The state with the release barred and, where it is on trial, without it."""
        barred = self.barred if release_id in self.barred else (*self.barred, release_id)
        on_trial = self.canary is not None and self.canary.release_id == release_id
        return State(baseline=self.baseline, canary=None if on_trial else self.canary, barred=barred)

    def promoted(self) -> "State":
        """The state with the canary as baseline."""
        return State(baseline=self.canary or self.baseline, barred=self.barred)


class StateFile:
    """`supervisor.json`: complete and old, or complete and new, also after a power failure."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "supervisor.json"

    def load(self) -> State | None:
        """What was saved last, None at the first start.

        Raises:
            Misconfigured: the file is no state; a person must look, since guessing could serve a barred release.
        """
        try:
            return State.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise Misconfigured(f"{self._path} is no state of a supervisor: restore or remove it") from error

    def save(self, state: State) -> None:
        """Replace the file; returns when it is on the disk."""
        partial = self._path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(state.model_dump_json(indent=1).encode())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
