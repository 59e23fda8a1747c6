"""Spectra of finite and of sampled networks."""
