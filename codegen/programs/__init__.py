"""A program becomes a compiled arithmetic on sampled sites."""
