"""Workers of a Dask cluster, by the address of its scheduler; who answers there gets pickles."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import first_line, how_to_install, show

from .task import Answer, answer, packed

PATIENCE = 10.0
"""Seconds that a scheduler, and its first worker, may take to answer."""
RECOVERY = 120.0
"""Seconds for an answer that was there when its worker died: another worker works it out again."""
_ADDRESS = re.compile(r"(?:tcp|tls|ucx|ws|wss|inproc)://[^\s/]+(?::\d{1,5}|/\S*)")


def check_address(scheduler: object) -> str:
    """The address of a scheduler.

    Raises
    ------
    ArgumentError
        If it is none.
    """
    if not isinstance(scheduler, str) or not _ADDRESS.fullmatch(scheduler):
        raise ArgumentError(
            f"scheduler = {show(scheduler)}: allowed is the address of a Dask scheduler, tcp://host:port"
        )
    return scheduler


def check(scheduler: str) -> None:
    """Raise `ArgumentError` if the scheduler does not answer, or has no workers."""
    with _client(scheduler):
        pass


@contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    """A connection to a scheduler that has workers.

    Raises
    ------
    ArgumentError
        If it does not answer in time.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ArgumentError(
            f"scheduler = {show(scheduler)}: Dask is not installed; allowed with it, {how_to_install('sweeps')}"
        ) from error
    allowed = "allowed is the address of a running Dask scheduler, tcp://host:port"
    try:
        _reach(scheduler)
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError, RuntimeError, MemoryError) as error:
        raise ArgumentError(f"scheduler = {show(scheduler)}: no answer ({first_line(error)}); {allowed}") from error
    try:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise ArgumentError(f"scheduler = {show(scheduler)}: it has no workers; {allowed}, with workers") from error
        yield client
    finally:
        client.close(timeout=PATIENCE)


def _reach(scheduler: str) -> None:
    """Shake hands with a scheduler, before there is a client, which would complain at its end if it got none.

    What is no scheduler may say anything: the first bytes of an HTTP or SSH server are read as a length that no memory
    has. Or it may say nothing, which Dask waits for without a limit. The loop of this thread may be running, in a
    notebook.
    """
    if scheduler.startswith("inproc:"):  # is known to the threads of this process only
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, asyncio.wait_for(_hands_shaken(scheduler), PATIENCE)).result()


async def _hands_shaken(scheduler: str) -> None:
    from distributed.comm import connect
    from distributed.security import Security

    comm = await connect(scheduler, timeout=PATIENCE, **Security().get_connection_args("client"))
    await comm.close()


def answers(function: bytes, items: Sequence[Any], scheduler: str) -> Iterator[tuple[int, Answer]]:
    """Answers of the workers of a cluster as they come; Dask gives what a dead worker had to another one.

    Raises
    ------
    ArgumentError
        If the scheduler does not answer, or is lost, or if workers die again and again with the same item.
    """
    from distributed import as_completed

    with _client(scheduler) as client:
        futures = {
            client.submit(answer, function, packed(item), alone=False, pure=False): number
            for number, item in enumerate(items)
        }
        try:
            for future in as_completed(futures, loop=client.loop):
                yield futures[future], _answer_of(future, scheduler)
                future.release()
        finally:
            client.cancel(list(futures), force=True)


def _answer_of(future: Any, scheduler: str) -> Answer:
    if future.status == "finished":
        try:
            found: Answer = future.result(timeout=RECOVERY)
        except TimeoutError as error:
            reason = first_line(error)
        else:
            return found
    else:
        reason = first_line(future.exception(timeout=PATIENCE)) if future.status == "error" else str(future.status)
    raise ArgumentError(
        f"scheduler = {show(scheduler)}: workers failed or the cluster was lost ({reason}); allowed is a running "
        "cluster, whose workers have dmft-sym and memory for these runs"
    )
