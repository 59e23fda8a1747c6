"""Work that is shared out comes back whole, whoever does it and whoever dies of it."""

from __future__ import annotations

import os
import signal
import warnings

import numpy as np
import pytest

from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import BiasWarning, InputError
from dmft_sym.support.threads import available_cores, one_core
from dmft_sym.workers import Crew, check_crew
from dmft_sym.workers.task import WorkerError

TWO = Crew(2)


@pytest.fixture(scope="module", autouse=True)
def no_workers_afterwards():
    yield
    from loky import get_reusable_executor

    get_reusable_executor(2).shutdown(wait=True)


@pytest.mark.parametrize("crew", [Crew(1), TWO])
def test_results_in_order(crew):
    offset = 3.0  # functions of a test, a notebook or a script go by value
    found = crew.in_order(lambda item: (item + offset, os.getpid()), range(20))
    assert [value for value, _ in found] == [item + 3.0 for item in range(20)]
    assert (os.getpid() in {pid for _, pid in found}) == crew.here


def test_workers_have_one_core():
    def seen(_):
        import os

        from threadpoolctl import threadpool_info

        threads = [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]
        return available_cores(), threads, os.environ["NUMBA_NUM_THREADS"], float(np.ones(3) @ np.ones(3))

    for cores, threads, numba, _ in TWO.in_order(seen, range(4)):
        assert (cores, numba) == (1, "1")
        assert set(threads) <= {1}


def test_one_core_ends_with_its_block():
    before = available_cores()
    with one_core(), one_core():
        assert available_cores() == 1
    assert available_cores() == before


@pytest.mark.parametrize("crew", [Crew(1), TWO])
def test_refusals_are_lines(crew):
    def refuse(item):
        from dmft_sym.support.messages import InputError

        raise InputError(f"item = {item}: allowed is another")

    with pytest.raises(InputError, match="item = 0: allowed is another"):
        crew.in_order(refuse, [0])


def test_failures_have_their_traceback():
    def fail(item):
        return 1 / item

    with pytest.raises(WorkerError, match="ZeroDivisionError"):
        TWO.in_order(fail, [0])


def test_warnings_come_back_once():
    def warn(item):
        import warnings

        from dmft_sym.support.messages import BiasWarning

        for _ in range(3):
            warnings.warn("few sites", BiasWarning, stacklevel=1)
        return item

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert TWO.in_order(warn, [5]) == [5]
    assert [(one.category, str(one.message)) for one in found] == [(BiasWarning, "few sites")]


def test_what_a_dead_worker_had_is_done_by_others(tmp_path):
    def die_once(item):
        flag = tmp_path / "dead"
        if item == 3 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * item

    assert TWO.in_order(die_once, range(8)) == [2 * item for item in range(8)]
    assert (tmp_path / "dead").exists()


def test_what_kills_again_and_again_is_given_up():
    def die(item):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ArgumentError, match="workers died 3 times"):
        TWO.in_order(die, [1])


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2", 10**6])
def test_numbers_of_workers_that_are_none(workers):
    with pytest.raises(ArgumentError, match="allowed is an integer from 1 to"):
        check_crew(workers, None)
