"""Offline rules that make patches: one rule a file, source in, changed source or a refusal with its reason out.

A recipe applies only where its preconditions hold; it runs and reads nothing.
"""

from selfbuild.recipes.base import Recipe, RecipePatch, Refusal
from selfbuild.recipes.blocking_in_async import BlockingInAsync
from selfbuild.recipes.hoist_regex import HoistRegex
from selfbuild.recipes.hunks import edits_between
from selfbuild.recipes.list_membership import ListMembership
from selfbuild.recipes.memoise import Memoise
from selfbuild.recipes.missing_key import MissingKey
from selfbuild.recipes.missing_timeout import MissingTimeout
from selfbuild.recipes.unbounded_cache import UnboundedCache

RECIPES: tuple[Recipe, ...] = (
    MissingKey(),
    ListMembership(),
    BlockingInAsync(),
    MissingTimeout(),
    UnboundedCache(),
    HoistRegex(),
    Memoise(),
)
"""Most telling evidence first: the order in which they are tried."""

__all__ = ["RECIPES", "Recipe", "RecipePatch", "Refusal", "edits_between"]
