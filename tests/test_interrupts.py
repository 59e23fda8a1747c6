"""Ctrl-C in a process of its own, in every stage: it is obeyed within half a second; nothing is half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

PROMPT = 0.5
SESSION = """
import signal, sys, time
import numpy as np
import dmft_sym as ds

RUN = dict(samples_per_dim=2.0, width_per_dim=0.7, richness=2.0, learning_rate=0.004)
WITHOUT = {{name: value for name, value in RUN.items() if name != "learning_rate"}}
SAMPLES = ds.Samples(np.random.default_rng(0).standard_normal((20, 20)), np.ones(20))

def begin():
    print("begin", flush=True)

try:
    {work}
    print("finished", flush=True)
except KeyboardInterrupt:
    print("interrupted", time.process_time(), flush=True)
"""
THEORY = "theory = ds.derive(ds.deep_linear(2)); "
WORK = {
    "derivation": "begin(); [ds.derive(ds.deep_linear(2)).spikes('NTK').latex for _ in range(1000)]",
    "simulation": f"{THEORY}begin(); ds.simulate(theory, dim=700, seeds=4, steps=5000, **RUN)",
    "plain march": f"{THEORY}begin(); theory.solve(backend='numpy', steps=3000, **RUN)",
    "coordinates": f"{THEORY}begin(); theory.solve(method='conditioning', steps=4000, **RUN)",
    "compilation": f"{THEORY}begin(); theory.solve(steps=2, **RUN)",
    "march": f"{THEORY}theory.solve(steps=2, **RUN); begin(); theory.solve(steps=4000, **RUN)",
    "sampled": "theory = ds.derive(ds.mlp(2), data=SAMPLES); begin(); "
    "theory.solve(steps=3000, sites=16_000, richness=1, learning_rate=0.1, backend='numpy')",
    "spectra": f"{THEORY}begin(); ds.spectrum(theory, matrices=['W0', 'NTK'], at=list(range(100)), steps=100, **RUN)",
    "sweep": f"{THEORY}begin(); ds.sweep(theory, over=dict(learning_rate=ds.logspace(-3, -2, 300)), steps=500, "
    "workers=1, method='conditioning', output='grid.nc', **WITHOUT)",
}
QUICK = ("derivation", "simulation", "coordinates")
STAGES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in WORK]


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupt_is_obeyed_at_once(stage: str, tmp_path: Path) -> None:
    environment = os.environ | ({"DMFT_SYM_CACHE": str(tmp_path / "cache")} if stage == "compilation" else {})
    session = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SESSION.format(work=WORK[stage])],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # as on a terminal
    )
    assert session.stdout is not None
    with session:
        assert session.stdout.readline() == "begin\n"
        time.sleep(3 if stage == "compilation" else 0.5)
        used, start = psutil.Process(session.pid).cpu_times(), time.monotonic()
        session.send_signal(signal.SIGINT)
        word, *numbers = session.stdout.readline().split()
        waited = time.monotonic() - start
    assert word == "interrupted"
    # Time of the processor where the machine is busy with something else.
    assert min(waited, float(numbers[0]) - used.user - used.system) < PROMPT
    # Python may end by the signal where code that it caught it from was compiled from text, as by lambdify.
    assert session.returncode in (0, -signal.SIGINT)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert not [name for name in left if "tmp" in name or name == "grid.nc"]
