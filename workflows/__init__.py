"""Deterministic orchestration only: what happens in which order, and what follows when a step fails."""
