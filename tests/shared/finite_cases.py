"""Networks that are compared with finite ones, and how far from the limit a finite one may be."""

from __future__ import annotations

from dataclasses import dataclass

from samples_and_scores import made_samples

import dmft_sym as ds

UNNAMED = "h*tanh(h)/2 + sin(2*h)/3"


@dataclass(frozen=True)
class Case:
    """A network and its training; ``bias`` has the ``c`` of ``f`` and outliers, and that of kernels."""

    activation: str
    depth: int
    outputs: int
    loss: str
    count: int
    richness: float
    learning_rate: float
    steps: int
    bias: tuple[float, float]
    outliers: int = 0

    def __str__(self) -> str:
        return f"{self.activation}, L={self.depth}, C={self.outputs}, {self.loss}"

    def theory(self):
        data = made_samples(100 + self.depth, self.count, self.outputs, self.loss)
        return ds.derive(ds.mlp(self.depth, self.activation, outputs=self.outputs), data=data)

    def arguments(self):
        """What theory and simulation share."""
        matrices = [f"W{layer}" for layer in range(1, self.depth)]
        return {
            "richness": self.richness,
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "matrices": matrices,
            "at": [self.steps - 1] if matrices else [],
        }


CASES = [
    Case("tanh", 1, 3, "softmax", 4, 4.0, 1.5, 12, (1, 4)),
    Case("erf", 1, 1, "logistic", 4, 4.0, 1.5, 12, (1, 2)),
    Case("relu", 1, 1, "squared", 3, 3.0, 0.3, 12, (2, 3)),
    Case(UNNAMED, 1, 1, "squared", 3, 4.0, 0.3, 12, (1, 3)),
    Case(UNNAMED, 2, 3, "squared", 3, 4.0, 0.18, 14, (5, 20), 1),
    Case("relu", 2, 3, "logistic", 4, 3.0, 0.25, 12, (5, 10), 3),
    Case("relu", 3, 1, "squared", 3, 3.0, 0.1, 12, (1, 3)),
    Case("tanh", 3, 1, "squared", 4, 4.0, 0.3, 12, (4, 3), 2),
    Case("erf", 3, 3, "squared", 3, 4.0, 0.08, 16, (1, 2), 1),
    Case(UNNAMED, 3, 3, "softmax", 3, 4.0, 0.5, 14, (3, 12), 2),
]

# The forward passes of unseen_networks.py: the ``c`` of outputs and kernels, and how they are trained.
UNSEEN_BIAS = (4, 10)
STEPS = 10
# Richness and learning rate with which features of every network move well within these steps.
SETTINGS = {
    "gated": (4.0, 0.5),
    "normalised": (3.0, 0.3),
    "residual": (3.0, 0.25),
    "tied": (3.0, 0.25),
    "bottleneck": (3.0, 0.3),
    "frozen_first": (4.0, 0.6),
    "product_of_inputs": (3.0, 0.5),
    "two_readouts": (3.0, 0.4),
    "two_carries": (3.0, 0.3),
    "autoencoder": (3.0, 0.3),
    "symmetric_residual": (3.0, 0.2),
    "symmetric_tied": (3.0, 0.2),
    "skip_from_start": (3.0, 0.2),
}
