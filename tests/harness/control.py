"""Asks `harness.with_broker` to kill or start the broker."""

import os
import socket


def control(action):
    """`kill`, `start`, `restart` or `stop`; returns once it is done."""
    with socket.create_connection(("127.0.0.1", int(os.environ["BROKER_CONTROL"]))) as connection:
        connection.sendall(f"{action}\n".encode())
        answer = connection.makefile().readline().strip()
        assert answer == "ok", f"{action}: {answer}"
