"""Spectra in numbers from growing coordinates; knows nothing of the derived conditions."""
