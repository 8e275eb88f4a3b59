"""The pure part of the gate: reads an answer, guards what it may touch, scores the checks. Runs nothing."""

from selfbuild.gate.answers import AnswerProblem, parse_answer, read_answer
from selfbuild.gate.guard import GuardResult, guard
from selfbuild.gate.policy import PathPolicy
from selfbuild.gate.score import quality_score

__all__ = ["AnswerProblem", "GuardResult", "PathPolicy", "guard", "parse_answer", "quality_score", "read_answer"]
