"""Specs: TOML files that describe a network, its data and its training."""
