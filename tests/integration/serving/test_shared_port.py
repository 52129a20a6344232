from __future__ import annotations

import pickle
import select
import socket
import sys
from multiprocessing.reduction import ForkingPickler

import pytest

from cl.serving.shared_port import share_port

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
