"""Names and expressions as Python text."""
