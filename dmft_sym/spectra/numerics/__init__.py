"""Numerics that both routes to spectra use on equations of their own; knows neither of them."""
