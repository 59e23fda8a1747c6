"""Finite networks trained by hand: a forward pass on arrays, reverse mode, and the rules of training as they are told.

Nothing is shared with the product but the draws: which stream of random numbers an array has.
"""

from __future__ import annotations

import numpy as np
from eager_arrays import SITE, Value, gradients
from eager_network import EagerNet, EagerSpace
from numpy.random import SeedSequence

from dmft_sym.execution import run_finite
from dmft_sym.execution.planning import make_plan
from dmft_sym.solvers.arguments import run_arguments


class Draws:
    """Standard normal numbers of the arrays of a program, each from the stream that finite networks give it."""

    def __init__(self, theory, arguments, seed):
        plan = make_plan(
            theory.program, arguments.values, arguments.outputs, reduced_transpose=False, data=arguments.data
        )
        names = [matrix.key for matrix in plan.matrices] + [(vector.name, None) for vector in plan.vectors]
        streams = SeedSequence(seed).spawn(len(names))
        self.streams = {name: np.random.default_rng(s) for name, s in zip(names, streams, strict=True)}
        learned = {array.name for array in theory.program.learned}
        self.unused, self.unknown = {key for key in self.streams if key[0] in learned}, []

    def __call__(self, name, layer, depth, shape):
        return self.stream(name, layer, depth).standard_normal(shape)

    def stream(self, name, layer, depth):
        """A member of a family that a forward pass uses outside of scans has a name of its own."""
        keys = [(name, layer), (f"{name}{layer}", None)]
        if depth is not None and layer is not None:
            behind = layer - depth
            keys.append((f"{name}_L{'' if not behind else 'm' if behind < 0 else 'p'}{abs(behind) or ''}", None))
        found = next((key for key in keys if key in self.streams), None)
        if found is None:  # what no output depends on is no part of a program
            self.unknown.append(keys[0])
            return np.random.default_rng(0)
        self.unused.discard(found)
        return self.streams[found]

    def check(self):
        """Refuse arrays that have another name in the program, as those of a folded loop do: weights would differ."""
        if self.unknown and self.unused:
            raise KeyError(f"no stream for {self.unknown}, while the program draws {sorted(map(str, self.unused))}")


def softmax(f):
    """Along outputs."""
    weights = np.exp(f - f.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


ERRORS = {
    "squared": lambda f, y: y - f,
    "logistic": lambda f, y: y / (1 + np.exp(y * f)),
    "softmax": lambda f, y: y - softmax(f),
}
"""Minus the derivatives of losses of one sample."""
SCHEDULES = {
    "cosine": lambda t, steps: (1 + np.cos(np.pi * t / steps)) / 2,
    "warmup(3)": lambda t, _: min(1, (t + 1) / 3),
    "1/(1 + t/10)": lambda t, _: 1 / (1 + t / 10),
    None: lambda *_: 1.0,
}


class Optimizer:
    """Momentum, decay, schedules and norms, array by array.

    Parameters
    ----------
    schedule
        The factor of the learning rate at step ``t`` of ``T``.
    """

    def __init__(self, rule, schedule, steps, eta):
        self.rule, self.schedule, self.steps, self.eta, self.memory = rule, schedule, steps, eta, {}

    def step(self, t, net, found):
        """``V = m V - eta_W dL/dW``, ``W = (1 - l) W + V``; ``found`` are derivatives of the loss, by array."""
        rule, eta = self.rule, self.eta
        trained = {key: rate for key, rate in net.rates.items() if rate}
        norm = np.sqrt(sum(rate * eta["unit"] * np.sum(found[key] ** 2) for key, rate in trained.items()))
        factor = self.schedule(t, self.steps)
        if rule.normalised:
            factor = factor / norm
        elif rule.clip is not None:
            factor = factor * min(1.0, rule.clip / norm)
        for key, rate in trained.items():
            increment = -factor * eta["rate"] * eta["unit"] * rate * found[key]
            memory = self.memory[key] = rule.momentum * self.memory.get(key, 0.0) + increment
            step = rule.momentum * memory + increment if rule.nesterov else memory
            net.arrays[key] = (1 - rule.weight_decay) * net.arrays[key] + step


class OnSamples:
    """Given samples: inputs by name, and what is drawn anew at every step."""

    def __init__(self, data, rule, steps):
        self.data, self.rule, self.count = data, rule, data.count
        arrays = {"x": data.all_inputs, **data.further}
        self.inputs = {
            name: Value(array, ("sample", *(data.labels if name == "x" else ()), SITE), space=space_of(name, array))
            for name, array in arrays.items()
        }
        batches, noise = (np.random.default_rng([rule.seed, number]) for number in (0, 1))
        self.weights = np.ones((steps, data.count))
        if rule.batch is not None:
            chosen = [batches.choice(data.count, rule.batch, replace=False) for _ in range(steps)]
            self.weights = np.array([np.isin(np.arange(data.count), batch) for batch in chosen])
            self.weights = self.weights * (data.count / rule.batch)
        self.noise = rule.label_noise * noise.standard_normal((steps, *data.targets.shape))

    def slope(self, t, f):
        """``dL/df``, zero for test samples."""
        error = ERRORS[self.data.loss](f[: self.count], self.data.targets + self.noise[t])
        slope = np.zeros(f.shape)
        slope[: self.count] = -self.weights[t][:, None] * error / self.count
        return slope


def space_of(name, array):
    """The space of an input."""
    return EagerSpace(name, array.shape[-1])


def train_on_samples(forward, theory, *, steps, width, seed, schedule=None, **parameters):
    """Outputs of a finite network at every step, shape (steps, samples, outputs)."""
    arguments = run_arguments(theory, steps, parameters)
    rule, data = theory.training, theory.data
    net = network(theory, arguments, seed, width, data.outputs)
    physics = {"rate": parameters["learning_rate"], "unit": parameters["richness"] ** 2 * width}
    optimizer = Optimizer(rule, schedule or SCHEDULES[None], steps, physics)
    samples, outputs = OnSamples(data, rule, steps), []
    start = 0.0
    for t in range(steps):
        result = net.forward(forward, samples.inputs)
        start = result.array if rule.centered and t == 0 else start
        outputs.append(result.array - start)
        learn(optimizer, t, net, result, samples.slope(t, outputs[-1]))
    return np.array(outputs)


def network(theory, arguments, seed, width, outputs, gamma=None):
    """The network whose arrays are drawn as those of the finite network of this seed."""
    depth = arguments.given.get("depth")
    chosen = {"depth": None if depth is None else int(depth), "values": arguments.given}
    gamma = arguments.given["richness"] if gamma is None else gamma
    return EagerNet(
        Draws(theory, arguments, seed), width, outputs, gamma, arguments.given.get("init_std", 1.0), **chosen
    )


def learn(optimizer, t, net, result, slope):
    """One step of training along the gradients."""
    if t == 0:
        net.draw.check()
    keys = list(net.leaves)
    found = gradients(result, slope, [net.leaves[key] for key in keys])
    optimizer.step(t, net, dict(zip(keys, found, strict=True)))


def train_in_proportion(forward, theory, *, steps, dim, seed, schedule=None, **parameters):
    """Losses of a finite network of ``D = dim`` at every step, shapes (steps, outputs), of train and test samples."""
    arguments = run_arguments(theory, steps, parameters)
    rule, given = theory.training, arguments.given
    nu, outputs, noise = given["width_per_dim"], arguments.outputs, given.get("label_noise", 0.0)
    gamma = theory.network.parametrization.gamma(given["richness"], nu)
    net = network(theory, arguments, seed, nu * dim, outputs, gamma / np.sqrt(dim))  # gamma_N = gamma sqrt(nu)
    physics = {"rate": given["learning_rate"], "unit": gamma**2 * nu * dim}
    optimizer = Optimizer(rule, schedule or SCHEDULES[None], steps, physics)
    count, space = round(given["samples_per_dim"] * dim), EagerSpace("D", dim)
    teacher = net.draw("betastar", None, None, (outputs, dim))
    whole = {"x": Value(np.sqrt(dim) * np.eye(dim), ("sample", SITE), space=space)}
    losses, start = [], np.zeros((dim, outputs))
    for t in range(steps):
        if t == 0 or rule.fresh:
            samples = net.draw("X", None, None, (count, dim))
            targets = samples @ teacher.T / np.sqrt(dim)
            targets = targets + (noise * net.draw("eps", None, None, (outputs, count)).T if noise else 0.0)
        predictor = net.forward(forward, whole).array
        start = predictor if rule.centered and t == 0 else start
        result = net.forward(forward, {"x": Value(samples, ("sample", SITE), space=space)})
        error = result.array - samples @ start / np.sqrt(dim) - targets
        test = teacher.T - predictor + start
        losses.append((np.mean(error**2, axis=0), np.mean(test**2, axis=0) + noise**2))
        learn(optimizer, t, net, result, error / count)
    return np.array(losses).transpose(1, 0, 2)


def finite_losses(theory, *, steps, dim, seed, **parameters):
    """The same of the product's finite network."""
    arguments = run_arguments(theory, steps, parameters)
    run = run_finite(theory.program, arguments.values, arguments.outputs, steps, dim, seed, data=arguments.data)
    return np.array([run.observables["train_loss"], run.observables["test_loss"]])


def finite_outputs(theory, *, steps, width, seed, **parameters):
    """The same of the product's finite network."""
    arguments = run_arguments(theory, steps, parameters)
    run = run_finite(theory.program, arguments.values, arguments.outputs, steps, width, seed, data=arguments.data)
    return next(values for ref, values in run.scalars.items() if ref.scalar.name == "f")
