"""Speaks to a broker byte by byte: bad frames, unknown requests, other protocols, order, and limits of connections."""

import os
import select
import socket
import struct
import sys
import time

from harness import wire
from harness.checks import Checks, eventually
from harness.folders import temporary_folder
from harness.servers import broker_under_test

IS_KAFKA = os.environ.get("BROKER") == "kafka"
UNSUPPORTED_VERSION = 35
# A TLS 1.2 record that begins a handshake, as every TLS client sends it first.
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(192))
PRODUCE, FETCH = 0, 1

checks = Checks("raw protocol")
broker = None


def answers_metadata(connection, correlation_id=7):
    connection.sendall(wire.metadata_request(correlation_id, topics=[]))
    answered, _ = wire.receive_frame(connection)
    return answered == correlation_id


def closes_after(payload, timeout=10):
    """Whether the broker closes a new connection after `payload`, and still serves others."""
    with wire.connect(broker.port) as connection:
        connection.sendall(payload)
        closed = wire.closed_by_peer(connection, timeout)
    with wire.connect(broker.port) as other:
        return closed and answers_metadata(other)


def create_topic(topic):
    """By asking for it: auto.create.topics.enable."""

    def exists():
        with wire.connect(broker.port) as connection:
            connection.sendall(wire.metadata_request(1, topics=[topic]))
            _, body = wire.receive_frame(connection)
            at = body.index(wire.string(topic))
            return struct.unpack(">h", body[at - 2 : at])[0] == 0

    eventually(exists, what=f"topic {topic}")


def fetch_request(correlation_id, topic, max_wait_ms, min_bytes, max_bytes=1 << 20, version=4):
    body = struct.pack(">iiiib", -1, max_wait_ms, min_bytes, max_bytes, 0)
    body += struct.pack(">i", 1) + wire.string(topic) + struct.pack(">iiqi", 1, 0, 0, max_bytes)
    return wire.request(FETCH, version, correlation_id, body)


@checks.check
def a_negative_length_closes_the_connection():
    assert closes_after(struct.pack(">i", -1))


@checks.check
def a_length_above_the_maximum_closes_the_connection():
    assert closes_after(struct.pack(">i", 0x7FFFFFFF))


@checks.check
def a_frame_too_short_for_a_header_closes_the_connection():
    assert closes_after(wire.frame(b"\0\x12"))


@checks.check
def an_unknown_api_key_closes_the_connection():
    assert closes_after(wire.request(9999, 0, 1))


@checks.check
def a_version_that_is_not_served_closes_the_connection():
    assert closes_after(wire.request(wire.METADATA, 99, 1))


@checks.check
def a_body_of_garbage_closes_the_connection():
    assert closes_after(wire.request(wire.METADATA, 1, 1, b"\x7f\xff\xff\xff" * 20))
    assert closes_after(wire.request(PRODUCE, 7, 1, os.urandom(300)))
    assert closes_after(wire.request(FETCH, 4, 1, b"\x7f\xff\xff\xff" * 9))


@checks.check
def api_versions_too_high_is_answered_with_version_0():
    with wire.connect(broker.port) as connection:
        connection.sendall(wire.request(wire.API_VERSIONS, 99, 5, b"\0\1\1\1"))
        correlation_id, body = wire.receive_frame(connection)
        error, count = struct.unpack(">hi", body[:6])
        key, lowest, highest = struct.unpack(">hhh", body[6:12])
        assert (correlation_id, error, count, key) == (5, UNSUPPORTED_VERSION, 1, wire.API_VERSIONS)
        assert lowest == 0 and highest >= 3
        # The client asks again, on the same connection.
        connection.sendall(wire.request(wire.API_VERSIONS, 0, 6))
        correlation_id, body = wire.receive_frame(connection)
        assert correlation_id == 6 and struct.unpack(">h", body[:2])[0] == 0


@checks.check
def every_advertised_api_is_sorted_and_has_a_range():
    with wire.connect(broker.port) as connection:
        connection.sendall(wire.request(wire.API_VERSIONS, 0, 1))
        _, body = wire.receive_frame(connection)
        (count,) = struct.unpack(">i", body[2:6])
        ranges = [struct.unpack(">hhh", body[6 + 6 * i : 12 + 6 * i]) for i in range(count)]
        assert all(0 <= lowest <= highest for _, lowest, highest in ranges)
        assert dict((key, lowest) for key, lowest, _ in ranges)[PRODUCE] == 0, "librdkafka compresses only if Produce 0 is there"


@checks.check
def a_frame_sent_byte_by_byte_is_answered():
    with wire.connect(broker.port) as connection:
        for byte in wire.metadata_request(3, topics=[]):
            connection.sendall(bytes([byte]))
        assert wire.receive_frame(connection)[0] == 3


@checks.check
def pipelined_requests_are_answered_in_order():
    create_topic("pipelined")
    with wire.connect(broker.port, timeout=30) as connection:
        requests = []
        for i in range(200):
            # Every tenth one waits for data that does not come.
            waits = i % 10 == 0
            requests.append(fetch_request(i, "pipelined", 20, 1) if waits else wire.metadata_request(i, topics=[]))
        connection.sendall(b"".join(requests))
        assert [wire.receive_frame(connection)[0] for _ in requests] == list(range(200))


@checks.check
def a_client_that_reads_nothing_holds_only_itself():
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", broker.port))
        slow.setblocking(False)
        burst = wire.metadata_request(1) * 100
        deadline = time.monotonic() + 3
        # Requests until the broker takes no more.
        while time.monotonic() < deadline and select.select([], [slow], [], 0.5)[1]:
            try:
                slow.send(burst)
            except BlockingIOError:
                continue
        with wire.connect(broker.port) as other:
            started = time.monotonic()
            for _ in range(20):
                assert answers_metadata(other)
            assert time.monotonic() - started < 5


@checks.check
def half_a_frame_and_then_nothing_holds_only_itself():
    with wire.connect(broker.port) as half, wire.connect(broker.port) as other:
        half.sendall(struct.pack(">i", 1000) + b"half")
        assert answers_metadata(other)


@checks.check
def tls_is_recognised_and_the_log_says_so():
    assert closes_after(CLIENT_HELLO)
    if not IS_KAFKA:
        eventually(lambda: any("TLS" in line and "127.0.0.1" in line for line in broker.log_text().splitlines()), what="a log line")


@checks.check
def http_is_recognised_and_the_log_says_so():
    assert closes_after(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    if not IS_KAFKA:
        eventually(lambda: any("HTTP" in line and "127.0.0.1" in line for line in broker.log_text().splitlines()), what="a log line")


@checks.check
def thousands_of_bad_connections_leave_a_good_one_alone():
    with wire.connect(broker.port) as good:
        for i in range(1000):
            with wire.connect(broker.port) as bad:
                bad.sendall(os.urandom(64) if i % 2 else struct.pack(">i", 50))
            if i % 100 == 0:
                assert answers_metadata(good, i)
        assert answers_metadata(good)
    # The last of them may still be counted for a moment, and 20 are allowed: the next check must not be refused for them.
    eventually(lambda: wire.broker_answers(broker.port), what="served again")


@checks.check
def an_idle_connection_is_closed():
    with wire.connect(broker.port) as idle:
        assert answers_metadata(idle)
        started = time.monotonic()
        assert wire.closed_by_peer(idle, 12), "an idle connection stays open"
        assert 1 < time.monotonic() - started


@checks.check
def connections_of_one_address_are_limited():
    opened = []
    try:
        def served():
            connection = wire.connect(broker.port)
            opened.append(connection)
            try:
                return answers_metadata(connection)
            except OSError:
                return False

        # Connections of the checks before may still be counted for a moment.
        results = [served() for _ in range(30)]
        assert not all(results), "all of 30 connections were served, where 20 are allowed"
        assert 10 <= sum(results) <= 20, results
    finally:
        for connection in opened:
            connection.close()
    eventually(lambda: wire.broker_answers(broker.port), what="served again")


def main():
    global broker
    limits = {"connections.max.idle.ms": "3000", "max.connections.per.ip": "20", "socket.request.max.bytes": "1048576"}
    with temporary_folder("raw") as folder:
        broker = broker_under_test(folder, limits)
        try:
            broker.start()
            checks.run(*sys.argv[1:])
        finally:
            broker.end()


main()
