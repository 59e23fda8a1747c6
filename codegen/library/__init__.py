"""What generated modules contain verbatim."""
