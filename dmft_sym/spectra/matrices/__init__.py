"""Matrices whose spectra may be asked for, as linear programs over the fields of a theory."""
