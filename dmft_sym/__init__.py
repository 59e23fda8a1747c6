"""Mean-field theory of wide networks in training, derived from a forward pass.

    import dmft_sym as ds

    theory = ds.derive(ds.deep_linear(depth=2))     # or ds.mlp(...), ds.network(forward); data=, training=
    theory.equations                                # what was derived
    run = theory.solve(samples_per_dim=4, width_per_dim=1, richness=8, learning_rate=0.004, steps=60)
    sim = ds.simulate(theory, dim=500, seeds=4, samples_per_dim=4, ...)     # finite networks of the same program
    ds.compare(run, sim); ds.plot(run, sim)

Networks: `deep_linear`, `mlp`, `network`. Data: `Proportional`, `Samples`, `ExtensiveOutputs`, `datasets`. Training:
`GradientDescent`, `OnlineSGD`, `GradientFlow`. Results: `compare`, `plot`, `spectrum`, `measure`, `sweep`, `optimum`,
`save`, `load`. Checks: `limits`, `scaling`, `reproduce`. See https://arxiv.org/abs/2605.07870 for the science.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .support.deprecation import OldModules

if TYPE_CHECKING:
    from . import limits
    from .claims.reproduction import reproduce
    from .comparison.runs import Comparison as Comparison
    from .comparison.runs import compare
    from .data import datasets
    from .derivation.equations import Equations as Equations
    from .derivation.named_symbols import Symbols as Symbols
    from .derivation.papers import cite
    from .derivation.stage import Stage as Stage
    from .figures.drawing import plot
    from .networks import (
        MUP,
        NTK,
        GradientDescent,
        GradientFlow,
        Loss,
        Network,
        OnlineSGD,
        Parametrization,
        deep_linear,
        mean,
        mlp,
        network,
        norm,
        softmax,
    )
    from .power_counting.scaling import scaling
    from .program import ProgramError as ProgramError
    from .regimes import ExtensiveOutputs, PowerLaw, Proportional, Samples
    from .results.store import load, save
    from .solvers.critical import critical
    from .solvers.escape import critical_richness
    from .solvers.exact_march import ExactRun as ExactRun
    from .solvers.measure import measure
    from .solvers.simulation import simulate
    from .solvers.solver import MethodInfo as MethodInfo
    from .solvers.solver import Solver as Solver
    from .solvers.stability import max_stable
    from .solvers.trained_spectra import spectrum
    from .spectra import operator
    from .spectra.equations.bulk_equations import BulkEquations as BulkEquations
    from .spectra.equations.spike_equations import SpikeEquations as SpikeEquations
    from .spectra.equations.symbolic import TheoryEquations as TheoryEquations
    from .support.errors import ArgumentError as ArgumentError
    from .support.messages import InputError as InputError
    from .sweeps.optimum import optimum
    from .sweeps.ranges import linspace, logspace
    from .sweeps.sweep import sweep
    from .theory import Theory, derive

# Imported on first use, so that `import dmft_sym` is quick.
RETURNED = {
    "ArgumentError": ".support.errors",
    "BulkEquations": ".spectra.equations.bulk_equations",
    "Comparison": ".comparison.runs",
    "Equations": ".derivation.equations",
    "ExactRun": ".solvers.exact_march",
    "InputError": ".support.messages",
    "MethodInfo": ".solvers.solver",
    "ProgramError": ".program",
    "Solver": ".solvers.solver",
    "SpikeEquations": ".spectra.equations.spike_equations",
    "Stage": ".derivation.stage",
    "Symbols": ".derivation.named_symbols",
    "TheoryEquations": ".spectra.equations.symbolic",
}
"""What calls return and raise, for annotations and `except`; nobody calls them."""

_HOMES = {
    **RETURNED,
    "cite": ".derivation.papers",
    "compare": ".comparison.runs",
    "critical": ".solvers.critical",
    "critical_richness": ".solvers.escape",
    "load": ".results.store",
    "measure": ".solvers.measure",
    "operator": ".spectra",
    "plot": ".figures.drawing",
    "ExtensiveOutputs": ".regimes",
    "PowerLaw": ".regimes",
    "Proportional": ".regimes",
    "Samples": ".regimes",
    "reproduce": ".claims.reproduction",
    "save": ".results.store",
    "scaling": ".power_counting.scaling",
    "linspace": ".sweeps.ranges",
    "logspace": ".sweeps.ranges",
    "max_stable": ".solvers.stability",
    "optimum": ".sweeps.optimum",
    "simulate": ".solvers.simulation",
    "sweep": ".sweeps.sweep",
    "spectrum": ".solvers.trained_spectra",
    "Theory": ".theory",
    "derive": ".theory",
    **dict.fromkeys(
        (
            "MUP",
            "NTK",
            "GradientDescent",
            "GradientFlow",
            "Loss",
            "Network",
            "OnlineSGD",
            "Parametrization",
            "deep_linear",
            "mean",
            "mlp",
            "network",
            "norm",
            "softmax",
        ),
        ".networks",
    ),
}

__all__ = [
    "MUP",
    "NTK",
    "ExtensiveOutputs",
    "GradientDescent",
    "GradientFlow",
    "Loss",
    "Network",
    "OnlineSGD",
    "Parametrization",
    "PowerLaw",
    "Proportional",
    "Samples",
    "Theory",
    "cite",
    "compare",
    "critical",
    "critical_richness",
    "datasets",
    "deep_linear",
    "derive",
    "limits",
    "linspace",
    "load",
    "logspace",
    "max_stable",
    "mean",
    "measure",
    "mlp",
    "network",
    "norm",
    "operator",
    "optimum",
    "plot",
    "reproduce",
    "save",
    "scaling",
    "simulate",
    "softmax",
    "spectrum",
    "sweep",
]


_OLD_MODULES = {
    "datasets": "data.datasets",
    "escape": "solvers.escape",
    "messages": "support.messages",
    "plots": "figures.plots",
    "sample_plots": "figures.sample_plots",
    "simulation": "solvers.simulation",
    "solver": "solvers.solver",
    "spectrum_plots": "figures.spectrum_plots",
    "trained_spectra": "solvers.trained_spectra",
}
sys.meta_path.append(OldModules(_OLD_MODULES, __name__))


def __getattr__(name: str) -> Any:
    if name == "limits":
        return import_module(".limits", __name__)
    if name == "datasets":
        return import_module(".data.datasets", __name__)
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("dmft-sym")
        except PackageNotFoundError:
            return "(not installed)"
    if name in ("Adam", "AdamW", "SignDescent"):
        from .regimes.keys import ENTRIES

        raise AttributeError(f"module 'dmft_sym' has no {name}: {ENTRIES}; GradientDescent has momentum and clip")
    if name not in _HOMES:
        raise AttributeError(f"module 'dmft_sym' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
