"""Results as labelled arrays: made, saved, loaded, compared, listed."""

from .store import load, save

__all__ = ["load", "save"]
