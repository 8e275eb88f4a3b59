"""Components on branches of a real git repository."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from selfbuild.adapters.component_repository import GitComponents
from selfbuild.component_ports import ComponentCommit
from selfbuild.domain.components import ComponentFile, ComponentRequest
from selfbuild.domain.errors import SelfBuildError
from tests.builders import NOON
from tests.fakes.components import a_component_request

FILES = (ComponentFile(path="README.md", content="# x\n"), ComponentFile(path="pkg/a.py", content="A = 1\n"))
REQUEST = a_component_request()
BRANCH = f"component/{REQUEST.component_id}"


def git(repository: Path, *arguments: str) -> str:
    command = ["git", f"--git-dir={repository}", "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


async def commit(
    components: GitComponents, files: tuple[ComponentFile, ...] = FILES, request: ComponentRequest = REQUEST
) -> ComponentCommit:
    return await components.commit(
        request, files, subject="skill: x", trailers={"Component-Id": request.component_id}, at=NOON
    )


@pytest.fixture
def components(tmp_path: Path) -> GitComponents:
    return GitComponents(tmp_path / "components", {})


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "components" / "acme.git"


async def test_repository_is_made_at_the_first_use(components: GitComponents, own: Path) -> None:
    made = await commit(components)

    assert made.repository == str(own)
    assert git(own, "rev-parse", BRANCH) == made.commit
    assert git(own, "show", f"{BRANCH}:components/meeting-summary/pkg/a.py") == "A = 1"
    assert f"Component-Id: {REQUEST.component_id}" in git(own, "log", "-1", "--format=%B", BRANCH)


async def test_commit_run_twice_is_one_commit(components: GitComponents, own: Path, tmp_path: Path) -> None:
    first = await commit(components)
    elsewhere = GitComponents(tmp_path / "other-worker", {"acme": str(own)})

    assert await commit(components) == first
    assert (await commit(elsewhere)).commit == first.commit
    assert git(own, "rev-list", "--count", BRANCH) == "1"


async def test_two_workers_at_once_make_one_commit(components: GitComponents, own: Path, tmp_path: Path) -> None:
    others = [GitComponents(tmp_path / "components", {}) for _ in range(3)]

    made = await asyncio.gather(*(commit(each) for each in (components, *others)))

    assert len({each.commit for each in made}) == 1
    assert git(own, "rev-list", "--count", BRANCH) == "1"


async def test_other_files_replace_the_component_on_its_branch(components: GitComponents, own: Path) -> None:
    await commit(components)

    made = await commit(components, (ComponentFile(path="README.md", content="# y\n"),))

    assert git(own, "ls-tree", "-r", "--name-only", made.commit) == "components/meeting-summary/README.md"
    assert git(own, "rev-list", "--count", BRANCH) == "2"


async def test_component_grows_from_the_tenants_main_branch(components: GitComponents, own: Path) -> None:
    first = await commit(components)
    git(own, "update-ref", "refs/heads/main", first.commit)
    other = a_component_request(tenant_id="acme", context={"other": True})

    made = await commit(components, request=other)

    assert git(own, "rev-parse", f"{made.commit}^") == first.commit


async def test_tenants_have_repositories_of_their_own(components: GitComponents, own: Path) -> None:
    await commit(components)
    made = await commit(components, request=a_component_request(tenant_id="globex"))

    assert made.repository != str(own)
    assert git(own, "for-each-ref", "--format=%(refname)") == f"refs/heads/{BRANCH}"


async def test_remote_that_is_not_there_is_told(tmp_path: Path) -> None:
    components = GitComponents(tmp_path / "components", {"acme": str(tmp_path / "nowhere.git")})

    with pytest.raises(SelfBuildError, match="nowhere"):
        await commit(components)


async def test_credentials_of_a_remote_are_not_shown(tmp_path: Path) -> None:
    from selfbuild.adapters.component_repository import _shown

    assert _shown("https://user:secret@git.example/acme.git") == "https://git.example/acme.git"
