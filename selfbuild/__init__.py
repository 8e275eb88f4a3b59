"""The core of the Self-Building Agent: domain values, pure analysis, recipes, gate, ports and their adapters."""

__version__ = "0.1.0"
