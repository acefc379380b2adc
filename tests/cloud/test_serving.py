"""The listening socket."""

from __future__ import annotations

import socket

from cloud.serving import listen
from cloud.settings import ServerSettings


def test_accepted_connections_send_small_packets_at_once() -> None:
    with (
        listen(ServerSettings(port=0), keys=False) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
