"""The files of one validation: base and patched copies side by side, in a folder no tool takes its settings from."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selfbuild.adapters.sandbox.staging import copy_tree

_SOURCE_BYTES = 1 << 20
"""Largest file that is read as source."""


@dataclass(frozen=True)
class Listing:
    """What lies in a tree, without git's own folder."""

    files: tuple[str, ...]
    links: tuple[str, ...]


@dataclass(frozen=True)
class Workspace:
    """Paths of one validation."""

    folder: Path
    patched_tree: Path
    """The whole application with the patch applied."""
    base_files: Path
    """Only the changed files, as they were."""
    patched_files: Path
    """Only the changed files, as they would be."""
    changed: tuple[str, ...]

    def both(self) -> list[str]:
        """Every changed Python file in both versions, for tools that take a list of files."""
        python = [path for path in self.changed if path.endswith(".py")]
        return [str(folder / path) for folder in (self.base_files, self.patched_files) for path in python]

    def place(self, file: str) -> tuple[str, str]:
        """(`base` or `patched`, path in the repository) of a file a tool speaks of."""
        for name, folder in (("base", self.base_files), ("patched", self.patched_files)):
            if Path(file).is_relative_to(folder):
                return name, Path(file).relative_to(folder).as_posix()
        return "", file


def list_tree(tree: Path) -> Listing:
    """Regular files and symbolic links of a tree, sorted; links are not followed."""
    files: list[str] = []
    links: list[str] = []
    for folder, folders, names in os.walk(tree, followlinks=False):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in (*folders, *names):
            path = Path(folder) / name
            relative = path.relative_to(tree).as_posix()
            if path.is_symlink():
                links.append(relative)
            elif name in names and path.is_file():
                files.append(relative)
    return Listing(tuple(sorted(files)), tuple(sorted(links)))


def read_sources(tree: Path, paths: Sequence[str], listing: Listing) -> dict[str, str]:
    """Texts of the regular files among `paths`, newlines as stored; what is no text is left out."""
    texts: dict[str, str] = {}
    for path in paths:
        if path not in listing.files or (tree / path).stat().st_size > _SOURCE_BYTES:
            continue
        try:
            texts[path] = (tree / path).read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue
    return texts


def digest_tree(tree: Path, listing: Listing) -> str:
    """One digest for the content of all regular files."""
    digest = hashlib.sha256()
    for path in listing.files:
        if "__pycache__" not in path:
            digest.update(path.encode() + b"\0" + hashlib.sha256((tree / path).read_bytes()).digest())
    return digest.hexdigest()


@contextmanager
def workspace(base_tree: Path, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Workspace]:
    """A private folder with base and patched texts; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="selfbuild-gate-"))
    try:
        made = Workspace(folder, folder / "tree", folder / "base", folder / "patched", tuple(sorted(new)))
        copy_tree(base_tree, made.patched_tree, uid=None)
        for path in made.changed:
            write_text(made.patched_tree / path, new[path])
            write_text(made.base_files / path, old[path])
            write_text(made.patched_files / path, new[path])
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write with the newlines as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))
