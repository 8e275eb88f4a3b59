"""Builds the git repository of the example application, the same to the byte wherever it is built."""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "source"
DEVELOPERS = "Meetnotes developers <dev@meetnotes.example>"
# Subject, seconds since the epoch, files that came with it; those not named came with the last commit.
COMMITS = (
    (
        "Find the topics of a meeting",
        1_771_232_400,
        (
            ".gitignore",
            "meetnotes/__init__.py",
            "meetnotes/topics.py",
            "pyproject.toml",
            "tests/__init__.py",
            "tests/test_topics.py",
        ),
    ),
    ("List the actions of a meeting", 1_771_939_800, ("meetnotes/actions.py", "tests/test_actions.py")),
    ("Summarise what is left to be done", 1_773_066_600, ("meetnotes/summary.py", "tests/test_summary.py")),
    ("Serve meetings over HTTP and observe each request", 1_774_363_200, ()),
)


def _git(repository: Path, *arguments: str, stdin: bytes = b"") -> str:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_DEFAULT_HASH": "sha1",
    }
    command = ["git", f"--git-dir={repository}", *arguments]
    done = subprocess.run(command, input=stdin, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]} failed in {str(repository)!r}: {done.stderr.decode().strip()}")
    return done.stdout.decode().strip()


def source_files() -> list[str]:
    """Files of the application relative to its root, without what tools leave behind."""
    names = (path.relative_to(SOURCE) for path in SOURCE.rglob("*") if path.is_file())
    kept = (name for name in names if not any(part.endswith(("cache", "cache__")) for part in name.parts[:-1]))
    return sorted(name.as_posix() for name in kept)


def _stream() -> bytes:
    """All commits, in the format of git-fast-import."""
    earlier = {name for _, _, names in COMMITS for name in names}
    last = tuple(name for name in source_files() if name not in earlier)
    stream = bytearray()
    for subject, seconds, names in COMMITS:
        message = f"{subject}\n".encode()
        stream += f"commit refs/heads/main\ncommitter {DEVELOPERS} {seconds} +0000\n".encode()
        stream += b"data %d\n%s\n" % (len(message), message)
        for name in names or last:
            content = (SOURCE / name).read_bytes()
            stream += b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(content), content)
    return bytes(stream)


def _head(repository: Path) -> str:
    """Head of a repository that began as ours, whatever was committed since.

    Raises:
        RuntimeError: Something else is at the path.
    """
    first = _git(repository, "log", "--max-parents=0", "--format=%an <%ae> %at %s", "main")
    if first != f"{DEVELOPERS} {COMMITS[0][1]} {COMMITS[0][0]}":
        raise RuntimeError(f"{str(repository)!r} is not the meetnotes repository: choose another path")
    return _git(repository, "rev-parse", "main")


def create_repository(bare_path: Path) -> str:
    """Make the bare repository, whole or not at all; one that exists already is left as it is.

    Returns:
        The sha of the head of branch main.

    Raises:
        RuntimeError: Something else is at the path, or git failed.
    """
    if bare_path.exists():
        return _head(bare_path)
    bare_path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bare_path.parent, prefix=".meetnotes-") as folder:
        built = Path(folder) / "repository.git"
        _git(built, "init", "--quiet", "--bare", "--object-format=sha1", "--initial-branch=main", "--template=")
        _git(built, "fast-import", "--quiet", "--done", stdin=_stream() + b"done\n")
        built.rename(bare_path)
    return _head(bare_path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="where the bare repository is to be")
    print(create_repository(parser.parse_args().path))
