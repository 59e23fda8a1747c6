"""Regimes: which axes of training stay finite and which grow, and the program that follows."""

from .base import Regime
from .extensive import ExtensiveOutputs
from .input_modes import PowerLaw
from .proportional import Proportional
from .samples import Samples

REGIMES: dict[str, type[Regime]] = {regime.word: regime for regime in (Proportional, Samples, ExtensiveOutputs)}
"""Every regime by its name in specs; a new one is a file of this folder and its place in this line."""

__all__ = ["REGIMES", "ExtensiveOutputs", "PowerLaw", "Proportional", "Regime", "Samples"]
