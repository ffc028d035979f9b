"""The same random operations against two servers; every answer and every watch event must be the same.

    differential.py REFERENCE_ADDRESS KEEPER_ADDRESS [--seed N] [--steps N]

The reference is a fresh Apache ZooKeeper with extended types enabled, the other a fresh keeper. Transaction ids are
compared as they are; times only for being there; session ids by the order in which the sessions were made.
"""

import argparse
import random
import sys

import jute
from jute import (ADD_WATCH, AUTH, CHECK, CHECK_WATCHES, CREATE, CREATE2, CREATE_CONTAINER, CREATE_TTL, DELETE,
                  DELETE_CONTAINER, EXISTS, GET_ACL, GET_ALL_CHILDREN_NUMBER, GET_CHILDREN, GET_CHILDREN2, GET_DATA,
                  GET_EPHEMERALS, MULTI, MULTI_READ, OPEN_ACL, RECONFIG, REMOVE_WATCHES, SET_ACL, SET_DATA,
                  SET_WATCHES2, SYNC, WHO_AM_I, boolean, buf, create_body, i32, i64, multi_body, vector)

NAMES = ["a", "b", "c", "long-name", "ü"]
BAD_PATHS = ["", "a", "a/b", "//", "/a/", "/a//b", "/a/.", "/a/../b", "/\x01", "/\ue000", "/\x7f",
             "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/", "/a\x00b"]
ACLS = [OPEN_ACL, OPEN_ACL, OPEN_ACL, OPEN_ACL, OPEN_ACL, OPEN_ACL,
        [(1, "world", "anyone")],
        [(31, "auth", "")],
        [(31, "digest", "bob:2bpSVaL2fSpXqhuKDNkEbF5CNC8=")],
        [(31, "ip", "127.0.0.1")],
        [(3, "ip", "127.0.0.0/8"), (1, "world", "anyone")],
        [(31, "ip", "10.0.0.0/8")],
        [(1, "world", "anyone"), (1, "world", "anyone"), (31, "auth", "x")],
        [],
        None,
        [(31, "world", "somebody")],
        [(31, "digest", "nocolon")],
        [(31, "ip", "300.0.0.1")],
        [(31, "ip", "10.0.0.0/33")],
        [(31, "sasl", "kafka")],
        [(31, "", "")]]


class Side:
    """One of the two servers, with its sessions."""

    def __init__(self, address):
        self.address = address
        self.sessions = {}
        self.order = {}

    def open(self, name):
        session = jute.Session(self.address)
        self.order[session.id] = name
        self.sessions[name] = session
        return session.timeout_ms, session.connect_rest

    def reopen(self, name, password=None):
        old = self.sessions[name]
        old.drop()
        session = jute.Session(self.address, session_id=old.id, password=password or old.password, last_zxid=old.last_zxid)
        known = session.id == old.id
        if known:
            session.xid = old.xid
            self.sessions[name] = session
        return known, session.timeout_ms

    def shown(self, value):
        """`value` with what must differ taken out."""
        if isinstance(value, dict):
            value = dict(value)
            for field in ("ctime", "mtime"):
                value[field] = value[field] != 0
            value["modified"] = value["ctime"] == value["mtime"]
            value["owner"] = self.order.get(value["owner"], value["owner"])
            return value
        if isinstance(value, (list, tuple)):
            return [self.shown(item) for item in value]
        return value


class Run:
    def __init__(self, sides, seed):
        self.sides = sides
        self.random = random.Random(seed)
        self.next_session = 0
        self.log = []

    # --- the steps of both servers together ---

    def same(self, what, values):
        self.log.append((what, values[0]))
        if values[0] != values[1]:
            for line in self.log[-12:-1]:
                print("  ", line)
            print("step     ", what)
            print("reference", values[0])
            print("keeper   ", values[1])
            sys.exit(f"the servers differ after {len(self.log)} comparisons")
        return values[0]

    def each(self, what, action):
        return self.same(what, [side.shown(action(side)) for side in self.sides])

    def events(self, unordered=False):
        def taken(side):
            by_session = {name: session.take_events() for name, session in sorted(side.sessions.items())}
            return sorted((name, sorted(events) if unordered else events) for name, events in by_session.items())
        self.each("events", taken)

    # --- random material ---

    def path(self):
        r = self.random
        if r.random() < 0.03:
            return r.choice(BAD_PATHS)
        return "/" + "/".join(r.choice(NAMES) for _ in range(r.choice([1, 1, 2, 2, 3])))

    def known_path(self):
        """Sequential names too."""
        r = self.random
        if r.random() < 0.2:
            return self.path() + f"{r.randrange(6):010}"
        return self.path()

    def new_path(self):
        """Also a character that Apache's server refuses, as it should, but cannot write back when asked about it."""
        return "/\U0001f600" if self.random.random() < 0.01 else self.path()

    def data(self):
        return self.random.choice([None, b"", b"x", b"hello", b"long" * 20])

    def version(self):
        return self.random.choice([-1, -1, -1, 0, 0, 1, 2, 3])

    def create(self, in_multi):
        r = self.random
        # Apache's server trips over a null list inside a transaction (a NullPointerException, as it decodes it).
        acl = r.choice([acl for acl in ACLS if acl is not None or not in_multi])
        code = r.choice([CREATE, CREATE, CREATE2, CREATE2, CREATE_CONTAINER, CREATE_TTL])
        if code == CREATE_TTL:
            flags, ttl = r.choice([5, 5, 6, 0]), r.choice([1000000, 1, 0, 1 << 40])
            if flags == 0:
                ttl = 5
            return code, create_body(self.new_path(), self.data(), acl, flags, ttl)
        flags = r.choice([0, 0, 0, 1, 2, 3, 4] if code != CREATE_CONTAINER else [4])
        if r.random() < 0.02:
            flags = r.choice([5, 7, -1])
        return code, create_body(self.new_path(), self.data(), acl, flags)

    def write(self, in_multi=False):
        r = self.random
        kind = r.random()
        if kind < 0.45:
            return self.create(in_multi)
        if kind < 0.65:
            return DELETE, buf(self.known_path()) + i32(self.version())
        if kind < 0.85 or in_multi:
            if in_multi and r.random() < 0.5:
                return CHECK, buf(self.known_path()) + i32(self.version())
            return SET_DATA, buf(self.known_path()) + buf(self.data()) + i32(self.version())
        if kind < 0.97:
            return SET_ACL, buf(self.known_path()) + jute.acls(r.choice(ACLS)) + i32(self.version())
        return DELETE_CONTAINER, buf(self.known_path())

    def read(self):
        r = self.random
        watch = boolean(r.random() < 0.5)
        path = self.known_path()
        return r.choice([
            (EXISTS, buf(path) + watch), (GET_DATA, buf(path) + watch), (GET_CHILDREN, buf(path) + watch),
            (GET_CHILDREN2, buf(path) + watch), (GET_ACL, buf(path)), (GET_ALL_CHILDREN_NUMBER, buf(path)),
            (SYNC, buf(r.choice(NAMES))), (WHO_AM_I, b""), (GET_EPHEMERALS, buf(r.choice(["/", "", None, path]))),
            (ADD_WATCH, buf(path) + i32(r.choice([0, 1]))),
            (CHECK_WATCHES, buf(path) + i32(r.choice([1, 2, 3, 4, 5]))),
            (REMOVE_WATCHES, buf(path) + i32(r.choice([1, 2, 3, 4, 5]))),
            (MULTI_READ, multi_body([r.choice([(GET_DATA, buf(self.known_path()) + boolean(False)),
                                               (GET_CHILDREN, buf(self.known_path()) + boolean(False))])
                                     for _ in range(r.randrange(4))])),
            (GET_CHILDREN2, buf("/") + watch), (RECONFIG, buf("") + buf("") + buf("") + i64(-1)),
        ])

    # --- steps ---

    def call(self, name, code, body):
        self.each((name, code, body), lambda side: side.sessions[name].call(code, body))
        self.events()

    def open(self):
        name = f"s{self.next_session}"
        self.next_session += 1
        self.each(("open", name), lambda side: side.open(name))
        return name

    def step(self):
        r = self.random
        names = sorted(self.sides[0].sessions)
        if len(names) < 3:
            return self.open()
        name = r.choice(names)
        kind = r.random()
        if kind < 0.50:
            self.call(name, *self.write())
        elif kind < 0.62:
            self.call(name, MULTI, multi_body([self.write(True) for _ in range(r.randrange(5))]))
        elif kind < 0.96:
            self.call(name, *self.read())
        elif kind < 0.97:
            who = r.choice(["bob:secret", "alice:x", "nocolon"])
            self.each((name, "auth", who), lambda side: side.sessions[name].call(AUTH, i32(0) + buf("digest") + buf(who), -4))
        elif kind < 0.985:
            self.reopen(name)
        else:
            self.each((name, "close"), lambda side: side.sessions.pop(name).close())
            self.events(unordered=True)

    def reopen(self, name):
        """A client that comes back, perhaps after missing something, and puts its watches back."""
        r = self.random
        wrong = bytes(15) + b"x" if r.random() < 0.2 else None
        since = {side: side.sessions[name].last_zxid for side in self.sides}
        other = r.choice([n for n in self.sides[0].sessions if n != name])
        for side in self.sides:
            side.sessions[name].take_events()
        if r.random() < 0.7:
            code, body = self.write()
            self.each((other, code, body), lambda side: side.sessions[other].call(code, body))
        if wrong:
            # It lives on: left alone it would expire in the middle of a long run, at each server at a moment of its own.
            self.each((name, "wrong password"), lambda side: side.reopen(name, wrong))
        self.each((name, "reopen"), lambda side: side.reopen(name))
        if wrong is None:
            paths = [[self.path() for _ in range(r.randrange(3))] for _ in range(5)]
            lists = b"".join(vector(each, buf) for each in paths)
            self.each((name, "watches", paths), lambda side: side.sessions[name].call(SET_WATCHES2, i64(since[side]) + lists, -8))
        self.events()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("reference", type=jute.parse_address)
    parser.add_argument("keeper", type=jute.parse_address)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--steps", type=int, default=3000)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    run = Run([Side(arguments.reference), Side(arguments.keeper)], arguments.seed)
    for _ in range(arguments.steps):
        run.step()
    print(f"{len(run.log)} comparisons, no difference")


if __name__ == "__main__":
    main()
