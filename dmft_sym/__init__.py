"""Mean-field theory of wide networks in training, derived from a forward pass.

Write a forward pass, `derive` the dynamical mean-field equations of its training, ``compile()`` them to a solver,
`simulate` finite networks from the same program and `compare`. See https://arxiv.org/abs/2605.07870 for the science.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import compare
    from .escape import critical_richness
    from .networks import (
        MUP,
        NTK,
        GradientDescent,
        Network,
        OnlineSGD,
        Parametrization,
        Proportional,
        Samples,
        deep_linear,
        mlp,
        network,
    )
    from .results import load, save
    from .simulation import simulate
    from .spectra import operator
    from .theory import Theory, derive
    from .trained_spectra import spectrum

# Imported on first use, so that `import dmft_sym` is quick.
_HOMES = {
    "compare": ".comparison",
    "critical_richness": ".escape",
    "load": ".results",
    "operator": ".spectra",
    "save": ".results",
    "simulate": ".simulation",
    "spectrum": ".trained_spectra",
    "Theory": ".theory",
    "derive": ".theory",
    **dict.fromkeys(
        (
            "MUP",
            "NTK",
            "GradientDescent",
            "Network",
            "OnlineSGD",
            "Parametrization",
            "Proportional",
            "Samples",
            "deep_linear",
            "mlp",
            "network",
        ),
        ".networks",
    ),
}

__all__ = [
    "MUP",
    "NTK",
    "GradientDescent",
    "Network",
    "OnlineSGD",
    "Parametrization",
    "Proportional",
    "Samples",
    "Theory",
    "compare",
    "critical_richness",
    "deep_linear",
    "derive",
    "load",
    "mlp",
    "network",
    "operator",
    "save",
    "simulate",
    "spectrum",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dmft_sym' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
