"""Sends one record by hand, as soon as a broker lets it: what a start is measured with. A client library would be
measured too."""

import struct
import time

from harness import wire

PRODUCE = 0


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def record_batch(value):
    """A batch of format v2 with one record and no key."""
    body = bytes([0, 0, 0, 1]) + bytes([len(value) << 1]) + value + bytes([0])
    record = bytes([len(body) << 1]) + body
    now = int(time.time() * 1000)
    after_crc = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1) + record
    after_length = struct.pack(">ibI", -1, 2, crc32c(after_crc)) + after_crc
    return struct.pack(">qi", 0, len(after_length)) + after_length


def ask(connection, request):
    connection.sendall(request)
    return wire.receive_frame(connection)[1]


def is_led(metadata, topic):
    """Whether a Metadata v1 response names a leader for the one partition of `topic`."""
    at = metadata.rindex(topic.encode()) + len(topic) + 1
    partitions, error, _index, leader = struct.unpack(">ihii", metadata[at : at + 14]) if len(metadata) >= at + 14 else (0, 0, 0, -1)
    return partitions == 1 and error == 0 and leader >= 0


def acknowledged(port, topic, acks=1, deadline_seconds=60):
    """Returns once a record is acknowledged, on a topic that comes into being for it."""
    deadline = time.monotonic() + deadline_seconds
    while time.monotonic() < deadline:
        try:
            with wire.connect(port) as connection:
                while not is_led(ask(connection, wire.metadata_request(1, [topic])), topic):
                    time.sleep(0.001)
                batch = record_batch(b"first")
                body = wire.string(None) + struct.pack(">hi", acks, 30_000)
                body += struct.pack(">i", 1) + wire.string(topic)
                body += struct.pack(">iii", 1, 0, len(batch)) + batch
                answer = ask(connection, wire.request(PRODUCE, 3, 2, body))
                (error,) = struct.unpack(">h", answer[4 + 2 + len(topic) + 4 + 4 :][:2])
                if error == 0:
                    return
        except (OSError, ValueError):
            time.sleep(0.0005)
    raise TimeoutError(f"no record was acknowledged on port {port}")
