"""Which paths may be changed at all: the application's globs, and names no application can give away."""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from selfbuild.domain.applications import RepositoryConfig
from selfbuild.domain.base import Value

PROTECTED = (
    "**/conftest.py",
    "**/sitecustomize.py",
    "**/usercustomize.py",
    "**/setup.py",
    "**/noxfile.py",
    "**/__main__.py",
    "**/*.pth",
    ".github/**",
    ".ci/**",
)
"""Files that run in builds, in tests or at every start: changed by people only, whatever the globs say."""


class PathPolicy(Value):
    """Globs on paths relative to the repository root; `**` spans folders, `*` does not."""

    allowed_paths: tuple[str, ...] = ("**/*.py",)
    denied_paths: tuple[str, ...] = RepositoryConfig.model_fields["denied_paths"].default

    @classmethod
    def of(cls, repository: RepositoryConfig) -> "PathPolicy":
        """The policy of an application's repository."""
        return cls(allowed_paths=repository.allowed_paths, denied_paths=repository.denied_paths)

    def refusal(self, path: str) -> str | None:
        """Why the file may not be changed, or None. Case is ignored where it would let a path through."""
        for glob in (*PROTECTED, *self.denied_paths):
            if matches(path, glob) or matches(path.casefold(), glob.casefold()):
                return f"{path!r} is never changed: it matches {glob!r}"
        if not any(matches(path, glob) for glob in self.allowed_paths):
            return f"{path!r} matches none of the allowed paths {list(self.allowed_paths)}"
        return None


def matches(path: str, glob: str) -> bool:
    """Whether the glob covers the whole path."""
    return _pattern(glob).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    pieces: list[str] = []
    position = 0
    while position < len(glob):
        if glob.startswith("**/", position):
            pieces.append("(?:.*/)?")
            position += 3
        elif glob.startswith("**", position):
            pieces.append(".*")
            position += 2
        else:
            character = glob[position]
            pieces.append({"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character)))
            position += 1
    return re.compile("".join(pieces), re.DOTALL)


PATH_CHARACTERS = 200
_PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that Windows takes for devices in every folder."""


def path_problem(path: str, regular_files: Collection[str], links: Collection[str]) -> str | None:
    """Why the path names no file of the repository, or None.

    Args:
        path: As the generator wrote it.
        regular_files: Paths of all regular files.
        links: Paths of symbolic links, to files and to folders.
    """
    if len(path) > PATH_CHARACTERS:
        return f"has {len(path)} characters, at most {PATH_CHARACTERS} are accepted"
    components = path.split("/")
    if not _PATH.fullmatch(path):
        return "must be relative, with plain letters, digits and '_.-' between forward slashes"
    if any(part.endswith(".") or part.startswith("-") or _DEVICE.fullmatch(part) for part in components):
        return "has a part that ends with a dot, begins with a dash or names a device"
    if any(component.casefold() in (".git", "git~1") for component in components):
        return "lies in git's own folder"
    parents = {"/".join(components[: count + 1]) for count in range(len(components))}
    if parents & set(links):
        return "is, or lies behind, a symbolic link"
    if path not in regular_files and any(path.casefold() == other.casefold() for other in regular_files):
        return "differs from a file of the repository by case only"
    return None


def outside_scope(path: str, shown: Sequence[str], policy: PathPolicy) -> str | None:
    """Why a well-formed path may not be changed by this patch, or None."""
    return policy.refusal(path) or (None if path in shown else f"{path!r} was not shown to the generator")
