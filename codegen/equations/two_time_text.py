"""Text pieces of a direct two-time solver that do not depend on the network."""

DOCSTRING = '''"""Direct two-time solver: {title}.

Written by dmft_sym.codegen from the derived single-site equations; not meant to be edited. The program:

{program}

Rows of all fields and order parameters follow each other in time. Gaussian fields are drawn with the covariances that
earlier rows give; responses are averages of tangents, total derivatives with memories included, or come by parts: where
a function jumps, and everywhere without ``tangents``. The processes:

{closures}

``march(rng, steps=T, sites=S, gram, targets, {arguments})`` runs it once, ``solve(seed, batches=R, ...)``
several times, with means and standard errors. ``gram`` has ``x_mu . x_nu / D``, shape (P, P), ``targets`` shape (P, C).
``overlap(a, b, t)`` is the average over sites of two fields that ``inspect`` shows.
{train}Scalars have shape (T, P, C), correlations (T, P, C, T, P, C), an axis of length one standing for a label that a
field does not have; families are dictionaries by layer. Responses are to Gaussian fields before weight decay. Time is
counted in gradient steps; everything is dimensionless.
"""'''

MARCH_DOCSTRING = '''"""One run of the equations in the docstring of the module.

Parameters
----------
rng
    A `numpy.random.Generator`; unused where every process closes as matrix algebra.
steps, sites
    Number ``T`` of gradient steps, and ``S`` of sampled sites, an even number.
gram, targets
    Shapes (P, P) and (P, C).
tangents
    Whether sampled responses are averages of tangents.
progress
    Called as ``progress(steps done)``.
inspect
    Called as ``inspect(t, fields)`` at every step; ``fields`` by name, families as dictionaries by layer.

Returns
-------
dict
    ``steps`` that were done before a scalar was 1e12 times its first size, ``scalars``, ``correlations`` and
    ``responses``, and ``tangent_error``: the largest error of a field that the sampling error of tangents makes,
    relative to its size.

Raises
------
ValueError
    Naming the argument, its value and what is allowed.
"""'''

SOLVE = '''
def solve(seed, *, batches=8, **arguments):
    """Independent runs of `march`, and standard errors of their mean.

    Parameters
    ----------
    batches
        Number of runs, each with all ``sites``; one is enough where every process closes as matrix algebra.

    Returns
    -------
    mean, error : dict
        As `march` returns, without ``steps``; ``error`` is NaN for a single run.
    """
    streams = np.random.SeedSequence(seed).spawn(batches)
    runs = [march(np.random.default_rng(stream), **arguments) for stream in streams]
    kinds = ("scalars", "correlations", "responses")
    mean = {kind: joined([run[kind] for run in runs], average) for kind in kinds}
    error = {kind: joined([run[kind] for run in runs], standard_error) for kind in kinds}
    return mean, error


def joined(values, combine):
    """Apply ``combine`` to the arrays at the same place of nested dictionaries."""
    if isinstance(values[0], dict):
        return {key: joined([value[key] for value in values], combine) for key in values[0]}
    return combine(np.stack(values))


def average(values):
    """Mean over runs."""
    return values.mean(axis=0)


def standard_error(values):
    """Standard error of the mean over runs."""
    if len(values) == 1:
        return np.full(values.shape[1:], np.nan)
    return values.std(axis=0, ddof=1) / np.sqrt(len(values))
'''
