"""
A few outputs
=============

A network with C equal outputs has C outliers in every hidden matrix, at the place of the one of a single output, and
the theory costs what one output does (arXiv:2605.07870).
"""

import matplotlib.pyplot as plt
import numpy as np

import dmft_sym as ds

theory = ds.derive(ds.deep_linear(depth=2))
settings = dict(
    samples_per_dim=4, width_per_dim=1, richness=8, learning_rate=0.006, label_noise=0.3, steps=50,
    at=[49],
)
outputs = [1, 2, 4]

# %%
# Outliers are counted with multiplicity: C in a hidden matrix, C squared in the tangent kernel.

counts = {
    c: ds.spectrum(theory, overlaps=False, outputs=c, matrices=["W1", "NTK"], **settings).outlier.notnull().sum("rank")
    for c in outputs
}
for c, found in counts.items():
    print(f"C = {c}:", dict(zip(found.matrix.values.tolist(), found.values.ravel().tolist())))

# %%
# In finite networks equal outliers split, as the eigenvalues of a small random matrix do.

single = ds.spectrum(theory, overlaps=False, matrices=["W1"], **settings).outlier.sel(matrix="W1").values.ravel()[0]
figure, axis = plt.subplots(figsize=(4.4, 3.2), layout="constrained")
axis.axhline(single, color="#0072b2", label="theory")
axis.axhline(2, color="0.4", ls=":", label="edge of the bulk")
for c in outputs:
    sim = ds.simulate(
        theory, dim=200, seeds=4, outputs=c, matrices=["W1"], order_parameters=False, normalise=True, **settings
    )
    values = sim.outlier.sel(matrix="W1", spectrum_step=49).isel(rank=slice(c)).values.ravel()
    axis.plot(np.full(values.size, c), values, "o", color="#d55e00", mfc="none", label="D = 200" if c == 1 else None)
axis.set(xticks=outputs, xlabel="outputs", ylabel="outliers of W1")
axis.legend(frameon=False, fontsize="small", loc="upper left")
