"""The skeleton of a skill: a package whose capabilities are functions behind one call."""

from selfbuild.recipes.scaffolds.common import Parts, readme


def files(parts: Parts) -> dict[str, str]:
    """What a skill has beside its capabilities."""
    first = next(iter(parts.capabilities))
    use = f'```python\nfrom {parts.package} import call, health\n\ncall("{first}", {{}})\nhealth()\n```'
    return {"README.md": readme(parts, use=use)}
