"""What both servers make of a connection as such: `connections.py REFERENCE_ADDRESS KEEPER_ADDRESS`.

Each case sends bytes and notes what comes back: frames, and whether the connection then ends. One difference is meant:
after a request that cannot be decoded, Apache's server reads on; the keeper ends the connection.
"""

import contextlib
import select
import socket
import struct
import sys

import jute
from jute import Closed, Session, boolean, buf, i32, i64

QUIET_SECONDS = 0.3
LAST_XID = 0x7ffffff0


def outcome(connection, has_session=True):
    """The frames that come, and how it ends: "open" when one more request is answered, which comes after all that is still
    due, however slow the server is. That one is sent when it is quiet, not at once: Apache's server may answer what it has
    read before it ends a connection."""
    frames = []
    try:
        if has_session:
            while select.select([connection.socket], [], [], QUIET_SECONDS)[0]:
                frames.append(frame_of(connection))
            connection.send(jute.EXISTS, buf("/") + boolean(False), LAST_XID)
        while True:
            frame = frame_of(connection)
            if frame[0] == LAST_XID:
                return frames, "open"
            frames.append(frame)
    except (Closed, BrokenPipeError, ConnectionResetError):
        return frames, "ended"


def frame_of(connection):
    frame = connection.read_frame()
    xid, zxid, error = struct.unpack(">iqi", frame[:16])
    return xid, zxid > 0, error, len(frame)


def in_session(send):
    def case(address):
        session = Session(address)
        # A server may end the connection before it has all of a request that is too large.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send(session)
        return outcome(session)
    return case


def unconnected(data):
    def case(address):
        session = Session.__new__(Session)
        session.socket = socket.create_connection(address, timeout=5)
        session.socket.sendall(data)
        return outcome(session, has_session=False)
    return case


def connect_request(last_zxid=0, timeout=5000, session=0, password=bytes(16), rest=b"\x00"):
    body = i32(0) + i64(last_zxid) + i32(timeout) + i64(session) + buf(password) + rest
    return i32(len(body)) + body


def connected(**options):
    def case(address):
        connection = socket.create_connection(address, timeout=5)
        connection.sendall(connect_request(**options))
        session = Session.__new__(Session)
        session.socket = connection
        try:
            frame = session.read_frame()
        except Closed:
            return "ended"
        version, timeout, id, = struct.unpack(">iiq", frame[:16])
        return version, timeout, id != 0, len(frame)
    return case


CASES = {
    "a new session": connected(),
    "a short timeout": connected(timeout=1),
    "a negative timeout": connected(timeout=-5),
    "a long timeout": connected(timeout=10 ** 9),
    "an old client": connected(rest=b""),
    "a read-only client": connected(rest=b"\x01"),
    "more than a connect request": connected(rest=b"\x00more"),
    "no password": connected(password=None),
    "an unknown session": connected(session=77),
    "a client that is ahead": connected(last_zxid=1 << 50),
    "a client that is ahead, with a session": connected(last_zxid=1 << 50, session=77),
    "a negative length": unconnected(i32(-1)),
    "a huge length": unconnected(i32(1 << 30)),
    "http": unconnected(b"GET / HTTP/1.1\r\n\r\n"),
    "half a connect request": unconnected(i32(8) + i32(0) + i32(0)),
    "a negative length in a session": in_session(lambda s: s.socket.sendall(i32(-7))),
    "a huge length in a session": in_session(lambda s: s.socket.sendall(i32(1 << 28))),
    "the largest frame": in_session(lambda s: s.send(jute.CREATE, jute.create_body("/big", bytes(0xfffff - 43), jute.OPEN_ACL, 0))),
    "a byte more": in_session(lambda s: s.send(jute.CREATE, jute.create_body("/big", bytes(0xfffff - 42), jute.OPEN_ACL, 0))),
    "an unknown operation": in_session(lambda s: s.send(999)),
    "a notification": in_session(lambda s: s.send(0)),
    "a check outside of a transaction": in_session(lambda s: s.send(jute.CHECK, buf("/") + i32(-1))),
    "an unknown scheme": in_session(lambda s: s.send(jute.AUTH, i32(0) + buf("kerberos") + buf("x"), -4)),
    "the scheme world": in_session(lambda s: s.send(jute.AUTH, i32(0) + buf("world") + buf("anyone"), -4)),
    "the scheme ip": in_session(lambda s: s.send(jute.AUTH, i32(0) + buf("ip") + buf("1.2.3.4"), -4)),
    "pings with any id": in_session(lambda s: (s.send(jute.PING, b"", 5), s.send(jute.PING, b"", -2))),
    "a null path": in_session(lambda s: s.send(jute.EXISTS, buf(None) + boolean(False))),
    "a null path to create": in_session(lambda s: s.send(jute.CREATE, jute.create_body(None, b"", jute.OPEN_ACL, 0))),
    "requests in one packet": in_session(lambda s: [s.send(jute.EXISTS, buf(p) + boolean(False)) for p in ("/", "/no", "/zookeeper")]),
    "a watch mode that does not exist": in_session(lambda s: s.send(jute.ADD_WATCH, buf("/") + i32(7))),
    "a kind of watch that does not exist": in_session(lambda s: s.send(jute.CHECK_WATCHES, buf("/") + i32(9))),
    "more than the request needs": in_session(lambda s: s.send(jute.EXISTS, buf("/") + boolean(False) + b"more")),
    # The meant difference.
    "an undecodable request": in_session(lambda s: s.send(jute.EXISTS, i32(99))),
}
MEANT = {"an undecodable request": lambda reference: (reference[0], "ended")}


def main():
    reference, keeper = map(jute.parse_address, sys.argv[1:3])
    different = 0
    for name, case in CASES.items():
        expected, got = case(reference), case(keeper)
        expected = MEANT.get(name, lambda outcome: outcome)(expected)
        if expected != got:
            different += 1
            print(f"{name}:\n  reference {expected}\n  keeper    {got}")
    if different:
        sys.exit(f"{different} of {len(CASES)} cases differ")
    print(f"{len(CASES)} cases of connections, no difference")


if __name__ == "__main__":
    main()
