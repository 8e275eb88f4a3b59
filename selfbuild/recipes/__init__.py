"""Offline rules that make patches: one rule a file, source in, changed source or a refusal with its reason out.

A recipe applies only where its preconditions hold; it runs and reads nothing.
"""

from selfbuild.recipes.base import Recipe, RecipePatch, Refusal
from selfbuild.recipes.hunks import edits_between
from selfbuild.recipes.order import RECIPES, ordered_recipes
from selfbuild.recipes.reach import reachable, unclaimed

__all__ = [
    "RECIPES",
    "Recipe",
    "RecipePatch",
    "Refusal",
    "edits_between",
    "ordered_recipes",
    "reachable",
    "unclaimed",
]
