"""Kafka requests by hand: enough to ask a broker whether it is ready, and to send it what no client library would."""

import socket
import struct

API_VERSIONS = 18
METADATA = 3
FIND_COORDINATOR = 10


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


def connect(port, timeout=10, host="127.0.0.1"):
    connection = socket.create_connection((host, port), timeout=timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def broker_answers(port, host="127.0.0.1"):
    """Whether a broker on `port` answers a Metadata request that names at least one broker."""
    try:
        with connect(port, timeout=2, host=host) as connection:
            connection.sendall(metadata_request(1, topics=[]))
            _, body = receive_frame(connection)
            (brokers,) = struct.unpack(">i", body[:4])
            return brokers > 0
    except OSError:
        return False


class Reader:
    """Takes the fields of a response, before the flexible versions, one after the other."""

    def __init__(self, body):
        self.body, self.at = body, 0

    def take(self, form):
        (value,) = struct.unpack_from(f">{form}", self.body, self.at)
        self.at += struct.calcsize(f">{form}")
        return value

    def string(self):
        length = self.take("h")
        if length < 0:
            return None
        self.at += length
        return self.body[self.at - length : self.at].decode()

    def array(self, element):
        return [element() for _ in range(self.take("i"))]

    def int32(self):
        return self.take("i")


def cluster_metadata(host, port, timeout=1.0):
    """What one broker tells of the cluster: `{"brokers": {id: (host, port)}, "controller": id, "partitions": {(topic,
    index): {"leader", "epoch", "replicas", "isr", "error"}}}`. Metadata v7, of every topic."""
    with connect(port, timeout, host) as connection:
        connection.sendall(request(METADATA, 7, 1, struct.pack(">i?", -1, False)))
        _, body = receive_frame(connection)
    reader = Reader(body)
    reader.int32()
    brokers = {}

    def broker():
        number = reader.int32()
        brokers[number] = (reader.string(), reader.int32())
        reader.string()

    reader.array(broker)
    reader.string()
    controller = reader.int32()
    partitions = {}

    def partition(topic):
        error, index, leader, epoch = reader.take("h"), reader.int32(), reader.int32(), reader.int32()
        replicas, isr, _ = reader.array(reader.int32), reader.array(reader.int32), reader.array(reader.int32)
        partitions[topic, index] = {"leader": leader, "epoch": epoch, "replicas": replicas, "isr": isr, "error": error}

    def topic():
        _, name, _ = reader.take("h"), reader.string(), reader.take("b")
        reader.array(lambda: partition(name))

    reader.array(topic)
    return {"brokers": brokers, "controller": controller, "partitions": partitions}


def coordinator_of(host, port, group, timeout=1.0):
    """The id of the broker that coordinates a group, or -1 while there is none. FindCoordinator v0."""
    with connect(port, timeout, host) as connection:
        connection.sendall(request(FIND_COORDINATOR, 0, 1, string(group)))
        _, body = receive_frame(connection)
    reader = Reader(body)
    error, number = reader.take("h"), reader.int32()
    return -1 if error else number
