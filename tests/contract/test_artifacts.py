"""What every implementation of `ports.Artifacts` keeps to."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from selfbuild.adapters.artifacts import FolderArtifacts
from selfbuild.domain.base import ArtifactRef
from selfbuild.domain.errors import MalformedAnswer, NotFound, Unreachable
from selfbuild.ports import Artifacts


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return FolderArtifacts(tmp_path / "artifacts")


async def test_content_is_read_back_by_its_digest(artifacts: Artifacts) -> None:
    ref = await artifacts.put(b"evidence", "text/plain")

    assert ref == ArtifactRef(digest=hashlib.sha256(b"evidence").hexdigest(), size_bytes=8, media_type="text/plain")
    assert await artifacts.get(ref) == b"evidence"


async def test_put_twice_gives_the_same_reference_once_on_disk(tmp_path: Path) -> None:
    artifacts = FolderArtifacts(tmp_path)

    assert await artifacts.put(b"evidence") == await artifacts.put(b"evidence")
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


async def test_unknown_artifact_is_not_found(artifacts: Artifacts) -> None:
    with pytest.raises(NotFound):
        await artifacts.get(ArtifactRef(digest="0" * 64, size_bytes=1))


@pytest.mark.parametrize("digest", ["../../etc/passwd", "", "0" * 63, "G" * 64])
async def test_digest_that_is_none_reads_no_file(artifacts: Artifacts, digest: str) -> None:
    with pytest.raises(NotFound):
        await artifacts.get(ArtifactRef(digest=digest, size_bytes=1))


async def test_changed_content_is_refused_and_put_repairs_it(tmp_path: Path) -> None:
    artifacts = FolderArtifacts(tmp_path)
    ref = await artifacts.put(b"evidence")
    next(path for path in tmp_path.rglob("*") if path.is_file()).write_bytes(b"tampered")

    with pytest.raises(MalformedAnswer, match=ref.digest):
        await artifacts.get(ref)

    await artifacts.put(b"evidence")
    assert await artifacts.get(ref) == b"evidence"


async def test_many_writers_of_one_content_leave_it_whole(tmp_path: Path) -> None:
    content = b"x" * 300_000
    writers = [FolderArtifacts(tmp_path) for _ in range(8)]

    refs = await asyncio.gather(*(writer.put(content) for writer in writers))

    assert len(set(refs)) == 1
    assert await writers[0].get(refs[0]) == content
    assert not list(tmp_path.rglob(".writing-*"))


async def test_folder_that_cannot_be_made_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(Unreachable, match="file"):
        await FolderArtifacts(tmp_path / "file").put(b"evidence")
