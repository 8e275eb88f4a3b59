"""Offline scaffolds: for each type of component a skeleton that works, and says of every capability that it is missing.

Nothing is invented: a capability answers `not_implemented`, and the tests show what the skeleton itself does.
"""

from collections.abc import Callable

from selfbuild.domain.components import ComponentFile, ComponentProposal, ComponentRequest, ComponentType
from selfbuild.recipes.scaffolds import agent, mcp_tool, service, skill
from selfbuild.recipes.scaffolds.common import Parts, common_files, project_file

_MAKERS: dict[ComponentType, Callable[[Parts], dict[str, str]]] = {
    ComponentType.SKILL: skill.files,
    ComponentType.AGENT: agent.files,
    ComponentType.SERVICE: service.files,
    ComponentType.MCP_TOOL: mcp_tool.files,
}


def scaffold(request: ComponentRequest) -> ComponentProposal:
    """The skeleton of the component; the same request gives the same files."""
    parts = Parts.of(request)
    texts = common_files(parts) | _MAKERS[request.component_type](parts)
    return ComponentProposal(
        provider="recipes",
        model=f"scaffold-{request.component_type}",
        summary=f"a skeleton of {request.requirements.name}, whose capabilities are still to be written",
        files=tuple(ComponentFile(path=path, content=texts[path]) for path in sorted(texts)),
        scaffold=True,
        missing=(
            *(f"capability {name}" for name in request.capabilities),
            *(f"connection with {point}" for point in request.requirements.integration_points),
        ),
    )


__all__ = ["project_file", "scaffold"]
