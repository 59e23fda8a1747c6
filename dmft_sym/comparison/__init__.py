"""Theory and finite networks side by side, point by point."""
