"""Bulk and spike conditions, derived by the averaging rule of training."""
