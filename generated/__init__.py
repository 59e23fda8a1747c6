"""Solvers that codegen wrote for the standard networks: readable, committed, never edited.

``INDEX`` finds them by the hash of the program (`dmft_sym.module_cache.program_key`), not by a network's name.
"""

from .index import INDEX

__all__ = ["INDEX"]
