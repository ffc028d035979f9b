"""Damages a log as a bad disk does: one bit of a batch's header, below the recovery point."""

import struct

from cluster.replicas import HEADER, LENGTH_OVERHEAD

RECOVERY_POINTS = "recovery-point-offset-checkpoint"
CLEAN_STOP = ".kafka_cleanshutdown"
# Of the batch length in a header.
LENGTH_AT = 8


def partition_folder(broker, topic, partition):
    return broker.data / f"{topic}-{partition}"


def set_aside(broker, topic):
    """The directories of damaged logs of a topic that were put aside."""
    return sorted(path for path in broker.data.iterdir() if path.name.startswith(f"{topic}-") and path.name.endswith("-stray"))


def checkpoint(broker, name):
    rows = (line.rsplit(" ", 2) for line in (broker.data / name).read_text().splitlines()[2:])
    return {(topic, int(partition)): int(offset) for topic, partition, offset in rows}


def places(path):
    """(position, base offset, last offset) of every batch in a segment."""
    data, at = path.read_bytes(), 0
    while at + HEADER.size <= len(data):
        base, length, _, _, _, _, delta, *_ = HEADER.unpack_from(data, at)
        yield at, base, base + delta
        at += LENGTH_OVERHEAD + length


def flip(path, position):
    """Turns the length of the batch at `position` negative, or back. Returns what is to be flipped to undo it."""
    with open(path, "r+b") as file:
        file.seek(position + LENGTH_AT)
        (length,) = struct.unpack(">i", file.read(4))
        file.seek(position + LENGTH_AT)
        file.write(struct.pack(">I", (length & 0xFFFFFFFF) ^ 0x80000000))
    return path, position


def damage_below_recovery_point(broker, topic, partition):
    """Damages the last batch below the recovery point of a broker that does not run, and makes its next start a recovery."""
    end = checkpoint(broker, RECOVERY_POINTS)[topic, partition]
    segment = sorted(partition_folder(broker, topic, partition).glob("*.log"))[-1]
    position = [at for at, _, last in places(segment) if last < end][-1]
    (broker.data / CLEAN_STOP).unlink(missing_ok=True)
    return flip(segment, position)


def damage_in_use(broker, topic, partition):
    """Damages the first batch of a broker that runs: the newest ones are read from memory. Returns its first offset."""
    segment = sorted(partition_folder(broker, topic, partition).glob("*.log"))[0]
    position, base, _ = next(places(segment))
    flip(segment, position)
    return base
