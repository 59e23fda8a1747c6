"""Neural scaling laws: losses of frozen and of trained features against time, width and samples, with their exponents.

    python examples/scaling_laws.py [FILE]

Inputs with eigenvalues ``k^-b``, and teachers with signals ``k^-a``; a linear network with one hidden layer, whose
first matrix is frozen (random features, arXiv:2402.01092) or trained (arXiv:2409.17858). Fitted exponents are printed
beside those of theory, with the difference between both halves of a line as error. Drawn to FILE; takes minutes.
"""

import sys

import numpy as np

import dmft_sym as ds

TASKS, MODES = {"hard": (2, 2), "easy": (2, 4)}, 10**6
UNLIMITED = {"samples_per_dim": float("inf"), "width_per_dim": float("inf")}
TIMES, COUNTS, FEW = np.geomspace(10, 1e3, 21), np.geomspace(30, 1000, 5), np.array([5, 10, 20])
BELOW = {"bbox_to_anchor": (0, -0.16), "frameon": False}
RATIOS = {"width": "width_per_dim", "samples": "samples_per_dim"}


def random_features(net, x):
    return net.readout("w", net.matrix("W0", net.inputs, net.hidden("N"), train=False) @ x)


def lines(task, modes=MODES, classes=32, counts=COUNTS, few=FEW):
    """Of both regimes and all panels: what is varied, and losses."""
    data = ds.Proportional(spectrum=ds.PowerLaw(*TASKS[task], modes=modes, classes=classes))
    unit, flow = 1 / data.spectrum[0][1], ds.GradientFlow(rtol=1e-3)  # of time: that of the fastest mode
    frozen, trained = (ds.derive(n, data=data, training=flow) for n in (ds.network(random_features), ds.deep_linear(1)))
    late = ds.derive(frozen.network, data=data).limit(ds.limits.late)

    def flows(theory, ends, **ratios):
        options = {"richness": 1e4, "tol": 1e-5 if task == "hard" else 3e-7, **UNLIMITED, **ratios}
        return theory.solve(time=[0.0, *np.multiply(ends, unit)], **options).test_loss.values[1:, 0]

    yield "frozen", "time", TIMES, flows(frozen, TIMES)
    yield "trained", "time", TIMES, flows(trained, TIMES)
    for name, ratio in RATIOS.items():
        options = {"richness": 1e8, "learning_rate": unit / 2, **UNLIMITED}
        yield "frozen", name, counts, [late.solve(**options | {ratio: n / modes}).test_loss[0] for n in counts]
    wide = counts[::2]
    yield "trained", "width", wide, [flows(trained, [100], width_per_dim=n / modes)[-1] for n in wide]
    yield "trained", "samples", few, [flows(trained, [300], samples_per_dim=n / modes)[-1] for n in few]


def exponent(x, losses):
    """The slope of a line in logarithms, and its error."""
    half, x, y = len(x) // 2, np.log(x), np.log(losses)
    first, whole, last = (np.polyfit(x[part], y[part], 1)[0] for part in np.s_[: half + 1, :, half:])
    return whole, abs(last - first)


def predicted(regime, name, b, a):
    time = (a - 1) / b
    time = 2 * time / (1 + time) if regime == "trained" and time < 1 else time
    if (regime, name) == ("trained", "width"):
        return "none"  # time is the bottleneck
    return f"{-{'time': time, 'width': min(a - 1, b), 'samples': min(a - 1, 2 * b)}[name]:.3g}"


def main(path="scaling_laws.png"):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 5), layout="constrained")
    axes = dict(zip(("time", "width", "samples"), figure.subplots(1, 3), strict=True))
    for task, colour in zip(TASKS, ("#0072b2", "#d55e00"), strict=True):
        for regime, name, x, losses in lines(task):
            (slope, error), known = exponent(x, losses), predicted(regime, name, *TASKS[task])
            print(f"{task}, {regime}, {name}: {slope:.3f} +- {error:.3f}, predicted {known}", flush=True)
            style = {"marker": "s", "ls": "--"} if regime == "trained" else {"marker": "o", "ls": "-"}
            style["mfc"] = "white" if task == "hard" else colour
            label = f"{task}, {regime}: {slope:.2f} ({known})"
            axes[name].loglog(x, losses, color=colour, ms=5, label=label, **style)
    for name, words in zip(axes, ("time [1/fastest rate]", "width N [units]", "samples P [samples]"), strict=True):
        axes[name].set(xlabel=words, ylabel="test loss [1]")
        axes[name].legend(title="exponent (predicted)", fontsize=8, title_fontsize=8, loc="upper left", **BELOW)
        axes[name].grid(color="0.92", lw=0.6)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(*sys.argv[1:2])
