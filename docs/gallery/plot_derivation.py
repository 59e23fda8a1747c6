"""
A derivation and what it computes
=================================

Every stage from the forward pass to the closed equations is an object that prints. What is printed is what is solved:
order parameters over two times.
"""

import dmft_sym as ds


# %%
# The input reaches the readout along two paths; nobody has written equations for this network.
def two_paths(net, x):
    n = net.hidden("N")
    h = (net.matrix("A", net.inputs, n) @ x).named("h")
    return net.readout("w", h + net.matrix("B", n, n) @ h)


theory = ds.derive(ds.network(two_paths, name="two paths"))
print(theory.program)

# %%
# The stages:

for stage in theory.steps:
    print(stage.number, stage.name, f"({len(stage.lines)} relations)")

# %%
# The single-site equations are the stage before the last one.

print(theory.steps[-2])

# %%
# Correlations of fields at two steps, and responses, which vanish above the diagonal: causality.

run = theory.solve(
    samples_per_dim=2, width_per_dim=1, richness=2, learning_rate=0.05, label_noise=0.2, steps=25, backend="numpy"
)
figure = ds.plot(run, kind="order-parameters")
