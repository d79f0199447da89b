import socket

import pytest

from pulka.errors import Misconfigured
from pulka.surfaces.http.listener import listen


def test_accepted_connections_do_not_wait_for_acknowledgements():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        listener.settimeout(10)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_taken_port_is_misconfigured():
    with listen("127.0.0.1", 0) as listener, pytest.raises(Misconfigured, match="cannot listen"):
        listen("127.0.0.1", listener.getsockname()[1])
