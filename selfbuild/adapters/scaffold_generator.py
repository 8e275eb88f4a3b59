"""The provider `recipes` for components: the offline scaffold, which is the same for the same request."""

from selfbuild.domain.components import ComponentProposal, ComponentQuestion
from selfbuild.recipes.scaffolds import scaffold


class ScaffoldGenerator:
    """Implements `component_ports.ComponentGenerator` without a model."""

    name = "recipes"

    async def propose(self, question: ComponentQuestion, *, timeout_s: float) -> ComponentProposal:
        """The skeleton of the component; a second look at it gives the same."""
        return scaffold(question.request)
