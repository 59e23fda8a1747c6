"""Theory and finite networks side by side, point by point."""

from .runs import Comparison, compare

__all__ = ["Comparison", "compare"]
