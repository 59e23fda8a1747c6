"""A Dask cluster: a real scheduler and two worker processes, one of which dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

import pytest

import dmft_sym as ds
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import InputError
from dmft_sym.workers import Crew, check_crew, cluster

distributed = pytest.importorskip("distributed")
SETTINGS = {
    "samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 3.0, "steps": 30, "backend": "numpy",
}  # fmt: skip


@pytest.fixture(scope="module")
def scheduler():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
        with distributed.LocalCluster(**options, silence_logs=50) as found:
            yield found.scheduler_address


@pytest.fixture
def crew(scheduler):
    return Crew(scheduler=scheduler)


def test_results_and_failures(crew, tmp_path):
    offset, parent = 3, os.getpid()

    def plus(item):
        return item + offset, os.getpid()

    found = crew.in_order(plus, range(12))
    assert [value for value, _ in found] == [item + 3 for item in range(12)]
    assert parent not in {pid for _, pid in found}
    assert len({pid for _, pid in found}) == 2

    def refuse(item):
        from dmft_sym.support.messages import InputError

        raise InputError(f"item = {item}: allowed is another")

    with pytest.raises(InputError, match="item = 4: allowed is another"):
        crew.in_order(refuse, [4])

    def die_once(item):
        flag = tmp_path / "dead"
        if item == 3 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return 2 * item

    assert crew.in_order(die_once, range(8)) == [2 * item for item in range(8)]
    assert (tmp_path / "dead").exists()


@pytest.mark.parametrize("rates", [pytest.param([0.01, 0.03, 9.0], marks=pytest.mark.slow)])
def test_a_sweep_has_the_same_bits(scheduler, tmp_path, rates):
    theory = ds.derive(ds.network(lambda net, x: net.readout("w", net.matrix("A", net.inputs, net.hidden("N")) @ x)))
    over = {"learning_rate": rates, "parametrization": ["muP", "NTK"]}
    one = ds.sweep(theory, over, workers=1, **SETTINGS)
    two = ds.sweep(theory, over, scheduler=scheduler, output=tmp_path / "grid.nc", **SETTINGS)
    for name in ("train_loss", "test_loss"):
        assert one[name].values.tobytes() == two[name].values.tobytes()
    assert one.status.values.tolist() == two.status.values.tolist()
    assert [file.name for file in tmp_path.iterdir()] == ["grid.nc"]


def test_a_scheduler_that_does_not_answer(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    start = time.monotonic()
    theory = ds.derive(ds.deep_linear(1))
    with pytest.raises(ArgumentError, match=r"scheduler = 'tcp://127\.0\.0\.1:1': no answer") as caught:
        ds.sweep(
            theory, {"learning_rate": [0.1]}, scheduler="tcp://127.0.0.1:1", output=tmp_path / "grid.nc", **SETTINGS
        )
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 30
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4, b""], ids=["another server", "silence"])
def test_a_port_of_something_else(monkeypatch, said):
    """The first bytes of another server are no length to set memory aside for; a silent one is not waited for."""
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])
                    held[-1].sendall(said)

        held = []
        threading.Thread(target=serve, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ArgumentError, match="no answer") as caught:
            Crew(scheduler=address).check()
        server.shutdown(socket.SHUT_RDWR)
    for one in held:
        one.close()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "tcp://", "file:///etc/passwd", "", 8786, "tcp://a b:1"])
def test_addresses_that_are_none(address):
    with pytest.raises(ArgumentError, match="allowed is the address of a Dask scheduler"):
        check_crew(None, address)


def started(*words):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", *words], start_new_session=True, **quiet)


@pytest.mark.parametrize("points", [pytest.param(40, marks=pytest.mark.slow)])
def test_a_scheduler_that_dies(tmp_path, points):
    """Finished points are kept; the same sweep goes on without the cluster."""
    file = tmp_path / "scheduler.json"
    options = ["--scheduler-file", str(file)]
    scheduler = started("distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", *options)
    workers = [started("distributed.cli.dask_worker", *options, "--nthreads", "1") for _ in range(2)]
    try:
        limit = time.monotonic() + 60
        while not file.exists() and time.monotonic() < limit:
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]

        def kill(done, total):
            if done == 3:
                scheduler.kill()

        theory = ds.derive(ds.deep_linear(2))
        over, settings = {"learning_rate": ds.logspace(-3, -2, points)}, {**SETTINGS, "steps": 150}
        path = tmp_path / "grid.nc"
        with pytest.raises(InputError, match="the cluster was lost"):
            ds.sweep(theory, over, scheduler=address, output=path, progress=kill, **settings)
        kept = len(list((tmp_path / "grid.nc.parts").glob("point-*")))
        assert 3 <= kept < points
        seen = []
        ds.sweep(theory, over, workers=1, output=path, progress=lambda *done: seen.append(done), **settings)
        assert seen[0] == (kept, points)
    finally:
        for process in (scheduler, *workers):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
