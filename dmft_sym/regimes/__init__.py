"""Regimes: which axes of training stay finite and which grow, and the program that follows."""

from .proportional import Proportional
from .samples import Samples

__all__ = ["Proportional", "Samples"]
