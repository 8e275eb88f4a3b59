"""Reads the file that names the watched applications: TOML, one `[[application]]` table each."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from selfbuild.adapters.declared import problems_of
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import Misconfigured

_SCP_LIKE = re.compile(r"^[^/\\]+:")
"""`git@host:path` and `C:\\path` are no paths relative to the file."""


def read_applications(
    path: Path, *, namespace: str | None = None, log_group: str | None = None
) -> tuple[Application, ...]:
    """The applications in the order of the file; relative repository urls start at its folder.

    Args:
        path: The file.
        namespace: CloudWatch namespace of applications that name none.
        log_group: Log group, or pattern with `*`, of applications that name none.

    Raises:
        Misconfigured: one line per problem, each naming the file, the table and the field.
    """
    tables = _tables(path)
    applications: list[Application] = []
    problems: list[str] = []
    for number, table in enumerate(tables, start=1):
        place = f"{path}: [[application]] {number}{_label(table)}"
        unknown = [f"{place}: {name}: unknown field" for name in _unknown_fields(Application, table)]
        problems.extend(unknown)
        try:
            application = Application.model_validate(_with_defaults(table, namespace=namespace, log_group=log_group))
        except ValidationError as error:
            problems.extend(_lines(place, error))
            continue
        problems.extend(f"{place}: telemetry.metrics: {problem}" for problem in problems_of(application.telemetry))
        if any(application.key == other.key for other in applications):
            problems.append(f"{place}: name: {application.key!r} stands twice in the file")
        applications.append(_with_absolute_url(application, path.parent))
    if problems:
        raise Misconfigured("\n".join(problems))
    return tuple(applications)


def _with_defaults(table: Mapping[str, Any], **defaults: str | None) -> Mapping[str, Any]:
    telemetry = table.get("telemetry", {})
    if not isinstance(telemetry, dict):
        return table
    given = {name: value for name, value in defaults.items() if value is not None}
    return {**table, "telemetry": {**given, **telemetry}}


def _tables(path: Path) -> list[Mapping[str, Any]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read: {error.strerror}; see APPLICATIONS_FILE") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: is not TOML: {error}") from error
    others = sorted(set(document) - {"application"})
    if others:
        raise Misconfigured(f"{path}: {others[0]}: unknown; applications are written as [[application]] tables")
    tables = document.get("application", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise Misconfigured(f"{path}: application: must be written as [[application]] tables")
    return tables


def _label(table: Mapping[str, Any]) -> str:
    name = table.get("name")
    return f" ({name})" if isinstance(name, str) else ""


def _lines(place: str, error: ValidationError) -> list[str]:
    return [
        f"{place}: {'.'.join(str(part) for part in problem['loc']) or 'table'}: "
        f"{problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False)
    ]


def _unknown_fields(model: type[BaseModel], table: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Domain values ignore unknown fields; in a file that a person writes they are slips of the pen."""
    unknown: list[str] = []
    for name, value in table.items():
        field = model.model_fields.get(name)
        if field is None:
            unknown.append(prefix + name)
            continue
        inner = _model_of(field.annotation)
        if inner is not None and isinstance(value, dict) and get_origin(field.annotation) is dict:
            for key, item in value.items():
                if isinstance(item, dict):
                    unknown.extend(_unknown_fields(inner, item, f"{prefix}{name}.{key}."))
        elif inner is not None and isinstance(value, dict):
            unknown.extend(_unknown_fields(inner, value, f"{prefix}{name}."))
        elif inner is not None and isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, dict):
                    unknown.extend(_unknown_fields(inner, item, f"{prefix}{name}.{number}."))
    return unknown


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model of a field that holds one, a tuple of them, or names of them."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _with_absolute_url(application: Application, folder: Path) -> Application:
    url = application.repository.url
    if "://" in url or _SCP_LIKE.match(url):
        return application
    repository = application.repository.model_copy(update={"url": str((folder / url).resolve())})
    return application.model_copy(update={"repository": repository})
