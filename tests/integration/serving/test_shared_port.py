from __future__ import annotations

import multiprocessing
import pickle
import select
import socket
import sys
from multiprocessing.reduction import ForkingPickler

import pytest

from cl.serving.shared_port import claim_port, share_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="connections are shared by the system on Linux only")


def taken() -> socket.socket:
    """Bind a free port as uvicorn does."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", 0))
    return one


def worker(held: socket.socket) -> socket.socket:
    """Listen as a worker does, with what another process is given of the socket."""
    own: socket.socket = pickle.loads(ForkingPickler.dumps(held))
    own.listen(1024)
    return own


def accepted(own: socket.socket) -> int:
    """Count the connections that wait to be accepted."""
    count = 0
    while select.select([own], [], [], 0.05)[0]:
        own.accept()[0].close()
        count += 1
    return count


def test_each_worker_gets_its_share_of_connections_that_come_at_once() -> None:
    with share_port(taken()) as held, worker(held) as one, worker(held) as other:
        address = held.getsockname()
        clients = [socket.create_connection(address) for _ in range(200)]
        shares = accepted(one), accepted(other)
        for client in clients:
            client.close()
    assert sum(shares) == 200
    assert min(shares) > 50


def test_the_others_take_what_comes_after_a_worker_has_died() -> None:
    with share_port(taken()) as held, worker(held) as one:
        worker(held).close()
        clients = [socket.create_connection(held.getsockname()) for _ in range(20)]
        assert accepted(one) == 20
        for client in clients:
            client.close()


@pytest.mark.parametrize("workers", [0, 1], ids=["before a worker listens", "beside a worker"])
def test_no_other_server_gets_the_port(workers) -> None:
    with share_port(taken()) as held:
        listening = [worker(held) for _ in range(workers)]
        with socket.socket() as another:
            another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                another.bind(held.getsockname())
        for one in listening:
            one.close()


@pytest.mark.parametrize("second", ["127.0.0.1", "0.0.0.0", "::"])
@pytest.mark.parametrize("first", ["127.0.0.1", "0.0.0.0", "::"])
def test_of_two_that_have_bound_a_port_before_either_holds_it_one_gets_it(first, second) -> None:
    with taken() as free:
        port = free.getsockname()[1]
    bound = []
    for host in (first, second):
        bound.append(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
        bound[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound[-1].bind((host, port))
    with share_port(bound[0]) as held:
        with bound[1], pytest.raises(OSError, match="in use"):
            share_port(bound[1])
        with worker(held) as own:
            client = socket.create_connection(("127.0.0.1", port))
            assert accepted(own) == 1
            client.close()


def hold(ports, start, outcomes) -> None:
    """Claim each port at the same moment as another process does, and say what came of it."""
    for port in ports:
        start.wait(60)
        try:
            held = claim_port("127.0.0.1", port)
        except OSError:
            held = None
        outcomes.put((port, held is not None))
        start.wait(60)
        if held is not None:
            held.close()


def test_two_servers_that_start_at_the_same_instant_never_share_a_port() -> None:
    context = multiprocessing.get_context("fork")
    sockets = [taken() for _ in range(20)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    start, outcomes = context.Barrier(2), context.Queue()
    processes = [context.Process(target=hold, args=(ports, start, outcomes)) for _ in range(2)]
    for process in processes:
        process.start()
    results = [outcomes.get(timeout=60) for _ in range(40)]
    for process in processes:
        process.join(60)
    winners = [sum(is_held for wanted, is_held in results if wanted == port) for port in ports]
    assert max(winners) == 1 and winners.count(1) >= 15, winners
