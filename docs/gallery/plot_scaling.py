"""
Neural scaling laws
===================

Inputs with eigenvalues falling as a power of their number give losses that fall as powers of time. Training the
features changes the exponent of hard tasks (arXiv:2402.01092, arXiv:2409.17858).
"""

import matplotlib.pyplot as plt
import numpy as np

import dmft_sym as ds

b, a = 2, 2  # eigenvalues k^-b, signals k^-a
data = ds.Proportional(spectrum=ds.PowerLaw(decay=b, source=a, modes=10**6, classes=24))
unit = 1 / data.spectrum[0][1]  # of time: that of the fastest mode
times = np.geomspace(10, 300, 13)
print(data.spectrum[:2], "...: weight, eigenvalue and variance of the teacher of each class")


# %%
# A network whose first matrix stays as it was drawn, and one that trains it.
def random_features(net, x):
    return net.readout("w", net.matrix("W0", net.inputs, net.hidden("N"), train=False) @ x)


exponent = (a - 1) / b
networks = {
    "frozen features": (ds.network(random_features), exponent),
    "trained features": (ds.deep_linear(1), 2 * exponent / (1 + exponent)),
}
options = dict(richness=1e4, samples_per_dim=np.inf, width_per_dim=np.inf, tol=1e-5)
figure, axis = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
for (name, (network, known)), colour, style in zip(networks.items(), ("#0072b2", "#d55e00"), ("o-", "s--")):
    theory = ds.derive(network, data=data, training=ds.GradientFlow(rtol=1e-3))
    loss = theory.solve(time=[0.0, *(times * unit)], **options).test_loss.values[1:, 0]
    slope = np.polyfit(np.log(times), np.log(loss), 1)[0]
    print(f"{name}: exponent {slope:.3f}, known {-known:.3f}")
    axis.loglog(times, loss, style, color=colour, mfc="white", ms=4, label=f"{name}: {slope:.2f} ({-known:.2f})")
axis.set(xlabel="time [1 / fastest rate]", ylabel="test loss")
axis.legend(frameon=False, title="exponent (known)")
