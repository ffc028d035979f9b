"""Kafka requests by hand: enough to ask a broker whether it is ready, and to send it what no client library would."""

import socket
import struct

API_VERSIONS = 18
METADATA = 3


def string(text):
    """A nullable string as requests before the flexible versions encode it."""
    if text is None:
        return struct.pack(">h", -1)
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def frame(body):
    """`body` behind its length."""
    return struct.pack(">i", len(body)) + body


def request(api_key, api_version, correlation_id, body=b"", client_id="raw"):
    """A whole request with header version 1, ready to send."""
    header = struct.pack(">hhi", api_key, api_version, correlation_id) + string(client_id)
    return frame(header + body)


def metadata_request(correlation_id, topics=None, version=1):
    """Metadata v1: `None` asks for every topic."""
    if topics is None:
        return request(METADATA, version, correlation_id, struct.pack(">i", -1))
    body = struct.pack(">i", len(topics)) + b"".join(string(topic) for topic in topics)
    return request(METADATA, version, correlation_id, body)


def receive_exactly(connection, count):
    """`count` bytes, or `ConnectionError` if the peer closes first."""
    received = bytearray()
    while len(received) < count:
        piece = connection.recv(count - len(received))
        if not piece:
            raise ConnectionError(f"closed after {len(received)} of {count} bytes")
        received += piece
    return bytes(received)


def receive_frame(connection):
    """One response: (correlation id, rest of the frame)."""
    (length,) = struct.unpack(">i", receive_exactly(connection, 4))
    body = receive_exactly(connection, length)
    return struct.unpack(">i", body[:4])[0], body[4:]


def closed_by_peer(connection, timeout):
    """Whether the peer closes (or resets) the connection within `timeout` seconds, having sent nothing more."""
    connection.settimeout(timeout)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except socket.timeout:
        return False


def connect(port, timeout=10):
    connection = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def broker_answers(port):
    """Whether a broker on `port` answers a Metadata request that names at least one broker."""
    try:
        with connect(port, timeout=2) as connection:
            connection.sendall(metadata_request(1, topics=[]))
            _, body = receive_frame(connection)
            (brokers,) = struct.unpack(">i", body[:4])
            return brokers > 0
    except OSError:
        return False
