"""A ZooKeeper client that shows everything: raw frames in, decoded values out, nothing hidden or retried.

Only the standard library. Values are plain tuples and dicts, so that the answers of two servers can be compared.
"""

import socket
import struct
import sys
import time

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL, GET_CHILDREN, SYNC = range(1, 10)
PING, GET_CHILDREN2, CHECK, MULTI, CREATE2, RECONFIG, CHECK_WATCHES, REMOVE_WATCHES = range(11, 19)
CREATE_CONTAINER, DELETE_CONTAINER, CREATE_TTL, MULTI_READ = 19, 20, 21, 22
AUTH, SET_WATCHES, GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER, SET_WATCHES2, ADD_WATCH, WHO_AM_I = 100, 101, 103, 104, 105, 106, 107
CLOSE_SESSION = -11

OPEN_ACL = [(31, "world", "anyone")]
STAT_FIELDS = ("czxid", "mzxid", "ctime", "mtime", "version", "cversion", "aversion", "owner", "length", "children", "pzxid")


class Closed(Exception):
    """The server ended the connection."""


def i32(value):
    return struct.pack(">i", value)


def i64(value):
    return struct.pack(">q", value)


def boolean(value):
    return b"\x01" if value else b"\x00"


def buf(value):
    if value is None:
        return i32(-1)
    if isinstance(value, str):
        value = value.encode()
    return i32(len(value)) + value


def vector(items, encode):
    if items is None:
        return i32(-1)
    return i32(len(items)) + b"".join(encode(item) for item in items)


def acls(rules):
    return vector(rules, lambda rule: i32(rule[0]) + buf(rule[1]) + buf(rule[2]))


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        taken = self.data[self.at:self.at + count]
        if len(taken) != count:
            raise ValueError(f"the answer ends early: {self.data!r}")
        self.at += count
        return taken

    def i32(self):
        return struct.unpack(">i", self.take(4))[0]

    def i64(self):
        return struct.unpack(">q", self.take(8))[0]

    def boolean(self):
        return self.take(1) != b"\x00"

    def buf(self):
        length = self.i32()
        return None if length < 0 else self.take(length)

    def text(self):
        value = self.buf()
        return None if value is None else value.decode("utf-8", "replace")

    def vector(self, decode):
        return [decode() for _ in range(self.i32())]

    def stat(self):
        return dict(zip(STAT_FIELDS, struct.unpack(">qqqqiiiqiiq", self.take(68))))

    def acl(self):
        return (self.i32(), self.text(), self.text())


# --- requests: name -> bytes -------------------------------------------------------------------------------------


def create_body(path, data, acl, flags, ttl=None):
    return buf(path) + buf(data) + acls(acl) + i32(flags) + (b"" if ttl is None else i64(ttl))


def multi_body(ops):
    """`ops`: (operation code, body)."""
    entries = b"".join(i32(code) + boolean(False) + i32(-1) + body for code, body in ops)
    return entries + i32(-1) + boolean(True) + i32(-1)


# --- answers -----------------------------------------------------------------------------------------------------


def decode_multi(reader):
    items = []
    while True:
        code, done, error = reader.i32(), reader.boolean(), reader.i32()
        if done:
            return items
        if code == CREATE:
            items.append((code, error, reader.text()))
        elif code == CREATE2:
            items.append((code, error, reader.text(), reader.stat()))
        elif code == SET_DATA:
            items.append((code, error, reader.stat()))
        elif code == GET_DATA:
            items.append((code, error, reader.buf(), reader.stat()))
        elif code == GET_CHILDREN:
            items.append((code, error, sorted(reader.vector(reader.text))))
        elif code == -1:
            items.append((code, error, reader.i32()))
        else:
            items.append((code, error))


def decode_answer(code, reader):
    if reader.at == len(reader.data):
        return None
    if code == CREATE or code == SYNC:
        return reader.text()
    if code in (CREATE2, CREATE_CONTAINER, CREATE_TTL):
        return reader.text(), reader.stat()
    if code in (EXISTS, SET_DATA, SET_ACL):
        return reader.stat()
    if code == GET_DATA:
        return reader.buf(), reader.stat()
    if code == GET_ACL:
        return reader.vector(reader.acl), reader.stat()
    if code == GET_CHILDREN or code == GET_EPHEMERALS:
        return sorted(reader.vector(reader.text))
    if code == GET_CHILDREN2:
        return sorted(reader.vector(reader.text)), reader.stat()
    if code == GET_ALL_CHILDREN_NUMBER:
        return reader.i32()
    if code in (MULTI, MULTI_READ):
        return decode_multi(reader)
    if code == WHO_AM_I:
        return sorted(reader.vector(lambda: (reader.text(), reader.text())))
    return reader.take(len(reader.data) - reader.at)


class Session:
    """One connection with a session."""

    def __init__(self, address, timeout_ms=20000, session_id=0, password=bytes(16), last_zxid=0, with_read_only=True, seconds=10):
        self.address = address
        self.socket = socket.create_connection(address, timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = i32(0) + i64(last_zxid) + i32(timeout_ms) + i64(session_id) + buf(password)
        if with_read_only:
            request += boolean(False)
        self.send_frame(request)
        reader = Reader(self.read_frame())
        self.protocol_version, self.timeout_ms, self.id = reader.i32(), reader.i32(), reader.i64()
        self.password = reader.buf()
        self.connect_rest = len(reader.data) - reader.at
        self.xid = 0
        self.last_zxid = last_zxid
        self.events = []

    def send_frame(self, body):
        self.socket.sendall(i32(len(body)) + body)

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except ConnectionResetError as error:
                raise Closed from error
            if not piece:
                raise Closed
            data += piece
        return data

    def read_frame(self):
        length, = struct.unpack(">i", self.read_exactly(4))
        return self.read_exactly(length)

    def send(self, code, body=b"", xid=None):
        if xid is None:
            self.xid += 1
            xid = self.xid
        self.send_frame(i32(xid) + i32(code) + body)
        return xid

    def receive(self, xid, code):
        """The answer to `xid`: (zxid, error, value). Events on the way are kept in `events`."""
        while True:
            reader = Reader(self.read_frame())
            got_xid, zxid, error = reader.i32(), reader.i64(), reader.i32()
            if got_xid == -1:
                self.events.append((reader.i32(), reader.i32(), reader.text(), zxid))
                continue
            if got_xid != xid:
                raise ValueError(f"answer {got_xid} where {xid} was due")
            if zxid > 0:
                self.last_zxid = zxid
            return zxid, error, decode_answer(code, reader) if error == 0 else None

    def call(self, code, body=b"", xid=None):
        return self.receive(self.send(code, body, xid), code)

    def ping(self):
        return self.call(PING, b"", -2)

    def take_events(self):
        """The events that came so far; a ping makes sure that none is on its way."""
        self.ping()
        taken, self.events = self.events, []
        return taken

    def create(self, path, data=b"", acl=OPEN_ACL, flags=0):
        return self.call(CREATE, create_body(path, data, acl, flags))

    def close(self):
        answer = self.call(CLOSE_SESSION)
        self.socket.close()
        return answer

    def drop(self):
        self.socket.close()


def command(address, word):
    """The answer to a four-letter command."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(word.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer.decode()


def parse_address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def wait_until_serving(address, seconds=30):
    """Returns when the server answers `srvr`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if "Mode:" in command(address, "srvr"):
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"no server on {address} after {seconds} s")


if __name__ == "__main__":
    wait_until_serving(parse_address(sys.argv[1]))
