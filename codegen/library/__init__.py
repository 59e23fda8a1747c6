"""What generated modules import, or contain verbatim where they stand alone."""
