"""Answers of generators with the verdict they must get, kept outside the repository."""

import json
import os
import shutil
from pathlib import Path

import pytest

from selfbuild.gate import AnswerProblem, guard, read_answer

ROOT = Path(__file__).resolve().parents[3]
ANSWERS = Path(os.environ.get("SELFBUILD_SHARED_DATA", ROOT.parent / "shared" / "data")) / "answers"
CASES = sorted(path for path in ANSWERS.glob("*.json") if path.name != "request.json") if ANSWERS.is_dir() else []

if not CASES:
    pytest.skip(f"no answers in {ANSWERS}: set SELFBUILD_SHARED_DATA", allow_module_level=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample repository, its symbolic links made real again where a copy flattened them to their targets."""
    tree = tmp_path_factory.mktemp("answers") / "sample_repo"
    shutil.copytree(ANSWERS / "sample_repo", tree, symlinks=True)
    for path in sorted(tree.rglob("*")):
        path.parent.chmod(0o755)
        if path.is_file() and not path.is_symlink() and path.read_bytes().startswith(b"../"):
            target = path.read_text().strip()
            path.unlink()
            path.symlink_to(target)
    return tree


@pytest.mark.parametrize("answer", CASES, ids=lambda path: path.stem)
def test_answer_gets_the_expected_verdict(answer: Path, repository: Path) -> None:
    case = json.loads(answer.read_text())
    request = json.loads((ANSWERS / "request.json").read_text())
    entries = {path.relative_to(repository).as_posix(): path for path in repository.rglob("*")}

    patch = read_answer(case["answer"])
    if isinstance(patch, AnswerProblem):
        reason_class, findings = patch.check.value, patch.reason
    else:
        result = guard(
            patch,
            {path: (repository / path).read_text() for path in request["shown_files"]},
            shown=request["shown_files"],
            target_symbols=request["target_symbols"],
            regular_files=[name for name, path in entries.items() if path.is_file() and not path.is_symlink()],
            links=[name for name, path in entries.items() if path.is_symlink()],
        )
        reason_class, findings = result.reason_class or "", result.message

    assert ("rejected" if reason_class else "accepted") == case["expected"], findings
    assert reason_class == case["reason_class"], findings
