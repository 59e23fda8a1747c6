"""Generated modules and their machine code on disk: found by a hash, verified, never trusted."""
