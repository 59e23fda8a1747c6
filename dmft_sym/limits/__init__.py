"""Limits of theories, and powers of the width."""
