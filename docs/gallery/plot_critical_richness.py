"""
Critical richness
=================

How rich a network has to be for an outlier to leave the bulk by a step of training: with the width this settles under
muP and grows without end in the NTK parametrization (arXiv:2605.07870).
"""

import matplotlib.pyplot as plt

import dmft_sym as ds

settings = dict(samples_per_dim=4, learning_rate=0.005, label_noise=0.2)
widths = [1, 4, 16]
brackets = {"muP": [(3, 5), (2.5, 4.5), (2, 4)], "NTK": [(3, 5), (5, 8), (10, 15)]}

# %%
# `ds.critical` follows the margin of the spike condition and bisects its root.

found = {}
for name, pairs in brackets.items():
    theory = ds.derive(ds.deep_linear(depth=2, parametrization=name))
    found[name] = [
        ds.critical(
            theory, parameter="richness", matrix="W1", at=59, between=pair, points=3, tol=1e-2,
            width_per_dim=width, **settings,
        )
        for width, pair in zip(widths, pairs)
    ]
    print(name, [round(value, 2) for value in found[name]])

# %%
figure, axis = plt.subplots(figsize=(4.4, 3.2), layout="constrained")
axis.plot(widths, found["muP"], "o-", color="#0072b2", label="muP")
axis.plot(widths, found["NTK"], "s--", color="#d55e00", label="NTK")
axis.set_xscale("log", base=2)
axis.set_xticks(widths, [str(width) for width in widths])
axis.set(ylim=(0, None), xlabel="width / input dimension", ylabel="critical richness of W1, step 59")
axis.legend(frameon=False)
