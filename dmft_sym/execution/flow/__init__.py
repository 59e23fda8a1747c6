"""Gradient flow: the program of a step as the right-hand side of a differential equation, integrated with control."""
