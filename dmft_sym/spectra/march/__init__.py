"""Spectra in numbers from the derived conditions and the two-time matrices of a run."""
