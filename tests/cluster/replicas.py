"""What the brokers of a stopped cluster have on their disks, as events for the checker (C2, C5)."""

import hashlib
import struct

# Base offset, batch length, leader epoch, magic, checksum, attributes, last offset delta, base and largest timestamp,
# producer id and epoch, base sequence (a record batch of version 2).
HEADER = struct.Struct(">qiibIhiqqqhi")
SEQUENCES = 1 << 31
# What the batch length does not count.
LENGTH_OVERHEAD = 12
CHECKPOINT = "replication-offset-checkpoint"


def batches(path):
    """(base offset, last offset, digest of the bytes, what its idempotent producer numbered it with) of every batch."""
    data, at = path.read_bytes(), 0
    while at + HEADER.size <= len(data):
        base, length, _, _, _, _, delta, _, _, producer, epoch, first = HEADER.unpack_from(data, at)
        end = at + LENGTH_OVERHEAD + length
        if length <= 0 or len(data) < end:
            return
        sequence = {"producer_id": producer, "producer_epoch": epoch, "first": first, "last": (first + delta) % SEQUENCES}
        digest = hashlib.blake2b(data[at:end], digest_size=8).hexdigest()
        yield base, base + delta, digest, sequence if producer >= 0 else None
        at = end


def note_copy(history, broker, topic, partition):
    """Writes down a broker's copy of one partition; nothing if it has none."""
    segments = sorted((broker.data / f"{topic}-{partition}").glob("*.log"))
    if not segments:
        return
    place = {"broker": int(broker.properties["broker.id"]), "topic": topic, "partition": partition}
    begin = end = int(segments[0].stem)
    first = None
    for segment in segments:
        for base, last, digest, sequence in batches(segment):
            history.write("batch", **place, base=base, last=last, digest=digest, sequence=sequence)
            first, end = base if first is None else first, last + 1
    history.write("replica", **place, **{"from": begin if first is None else first, "to": end})


def note_topic(history, brokers, topic, partitions):
    for broker in brokers:
        for partition in range(partitions):
            note_copy(history, broker, topic, partition)


def note_offsets_topic(history, brokers, partitions):
    """The partitions of `__consumer_offsets`, which nobody reads: their end is the smallest high watermark on disk."""
    topic = "__consumer_offsets"
    marks = [high_watermarks(broker) for broker in brokers]
    for partition in range(partitions):
        key = topic, partition
        if all(key in found for found in marks):
            end = min(found[key] for found in marks)
            history.write("drained", reader="checkpoint", topic=topic, partition=partition, **{"from": 0, "to": end})
            for broker in brokers:
                note_copy(history, broker, topic, partition)


def high_watermarks(broker):
    """`{(topic, partition): high watermark}` out of the checkpoint of a stopped broker."""
    path = broker.data / CHECKPOINT
    if not path.exists():
        return {}
    rows = (line.rsplit(" ", 2) for line in path.read_text().splitlines()[2:])
    return {(topic, int(partition)): int(offset) for topic, partition, offset in rows}
