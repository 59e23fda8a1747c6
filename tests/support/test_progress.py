"""Bars and notices: on terminals, while something lasts, and never elsewhere."""

from __future__ import annotations

import io
import sys
import time
from types import SimpleNamespace

import numba
import pytest

import dmft_sym as ds
from dmft_sym.solvers import march as marched
from dmft_sym.support import progress as progress_module
from dmft_sym.support.progress import StepProgress, compilation_notice, notice, reported

RUN = {"steps": 2, "samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "learning_rate": 0.02}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_appears_on_terminals_for_long_work() -> None:
    stream = Terminal()
    with StepProgress("run", stream, delay=0.05) as progress:
        progress(1, 10)
        assert stream.getvalue() == ""
        time.sleep(0.06)
        progress(2, 10)
        progress(10, 10)
    assert "run" in stream.getvalue()
    assert "10/10" in stream.getvalue()
    silent = io.StringIO()
    with StepProgress("run", silent, delay=0) as progress:
        progress(1, 10)
    assert silent.getvalue() == ""


def test_notices_appear_on_terminals() -> None:
    stream, silent = Terminal(), io.StringIO()
    with notice("deriving", stream, delay=0.05):
        assert stream.getvalue() == ""
        time.sleep(0.3)
        assert "deriving" in stream.getvalue()
    with notice("deriving", silent):
        pass
    assert silent.getvalue() == ""


def fresh_functions():
    @numba.njit
    def inner(x):
        return x + 1

    @numba.njit
    def outer(x):
        return inner(x) * 2

    return outer


def test_compilation_is_noticed_once() -> None:
    stream = Terminal()
    outer = fresh_functions()
    with compilation_notice(stream, delay=0):
        assert stream.getvalue() == ""
        assert outer(1) == 4
        shown = stream.getvalue()
        assert shown.count("compiling the solver") >= 1
        assert outer(2) == 6  # compiled
        assert stream.getvalue() == shown
    assert stream.getvalue() == shown
    outer(1.5)  # another signature, outside
    assert stream.getvalue() == shown


def test_compilation_is_silent_elsewhere() -> None:
    silent = io.StringIO()
    with compilation_notice(silent):
        assert fresh_functions()(1) == 4
    assert silent.getvalue() == ""


def test_a_failing_compilation_leaves_no_spinner() -> None:
    stream = Terminal()

    @numba.njit
    def wrong(x):
        return x + "a"

    with pytest.raises(numba.TypingError), compilation_notice(stream, delay=0):
        wrong(1)
    ended = stream.getvalue()
    time.sleep(0.3)
    assert stream.getvalue() == ended
    assert ended.endswith("\r") and not ended.rsplit("\r", 2)[1].strip()  # the line is cleared


def test_solvers_show_what_they_wait_for(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("DMFT_SYM_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress_module, "DELAY", 0.0)

    def forward(net, x):
        return net.readout("w", net.matrix("A", net.inputs, net.hidden("N")) @ x)

    theory = ds.derive(ds.network(forward))
    theory.compile("numpy")(**RUN)
    assert "deriving the equations" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", Terminal())
    theory.compile("numpy")(**RUN)  # from the cache
    assert "deriving" not in sys.stderr.getvalue()
    module, compiled = theory.compile("numpy").module, fresh_functions()

    def march(**arguments):
        compiled(1)
        return module.march(**arguments)

    monkeypatch.setattr(marched, "march_module", lambda problem, backend: SimpleNamespace(march=march))
    theory.compile("numba").raw(**RUN)
    assert "compiling the solver" in sys.stderr.getvalue()


def test_work_is_reported_by_default_where_somebody_looks(monkeypatch) -> None:
    theory, settings = ds.derive(ds.deep_linear(0)), {"samples_per_dim": 2.0, "learning_rate": 0.1, "steps": 3}
    monkeypatch.setattr(progress_module, "DELAY", 0.0)
    for work, word in (
        (lambda: theory.compile("numpy")(**settings), "run"),
        (lambda: ds.simulate(theory, dim=10, seeds=2, **settings), "simulation"),
        (lambda: ds.spectrum(theory, matrices=["NTK"], at=[2], **settings), "spectra"),
    ):
        monkeypatch.setattr(sys, "stderr", Terminal())
        work()
        assert word in sys.stderr.getvalue()
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        work()
        assert sys.stderr.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    theory.compile("numpy")(progress=False, **settings)
    assert sys.stderr.getvalue() == ""


def test_work_inside_of_other_work_has_no_bar(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress_module, "DELAY", 0.0)
    with reported("outer", None) as outer, reported("inner", None) as inner:
        inner(1, 2)
        outer(1, 2)
    assert "outer" in sys.stderr.getvalue() and "inner" not in sys.stderr.getvalue()
    seen = []
    with reported("own", lambda done, total: seen.append((done, total))) as own, reported("inner", None) as inner:
        own(1, 2)
        inner(1, 1)
    assert seen == [(1, 2)]
    with reported("later", None) as later:
        later(1, 2)
    assert "later" in sys.stderr.getvalue()
