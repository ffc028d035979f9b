"""kazoo drives the keeper: `kazoo_check.py ADDRESS`. Recipes included, because they lean on ordering and watches."""

import socket
import sys
import threading

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (BadVersionError, InvalidACLError, NoAuthError, NoChildrenForEphemeralsError, NodeExistsError,
                              NoNodeError, NotEmptyError, RolledBackError)
from kazoo.protocol.states import EventType
from kazoo.security import make_acl, make_digest_acl

ADDRESS = sys.argv[1]
CLIENTS = []
SECONDS = 15


def client(**options):
    made = KazooClient(hosts=ADDRESS, timeout=10, **options)
    made.start(SECONDS)
    CLIENTS.append(made)
    return made


def raises(error, action, *arguments, **options):
    try:
        action(*arguments, **options)
    except error:
        return
    raise AssertionError(f"{action.__name__}{arguments} did not raise {error.__name__}")


class Events:
    """Collects watch events."""

    def __init__(self):
        self.list, self.arrived = [], threading.Condition()

    def __call__(self, event):
        with self.arrived:
            self.list.append((event.type, event.path))
            self.arrived.notify_all()

    def wait(self, count):
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.list) >= count, SECONDS), self.list
            taken, self.list = self.list, []
            return taken


def nodes():
    zk = client()
    assert zk.create("/nodes", b"value") == "/nodes"
    data, stat = zk.get("/nodes")
    assert (data, stat.version, stat.dataLength, stat.numChildren) == (b"value", 0, 5, 0)
    assert zk.set("/nodes", b"new").version == 1
    raises(BadVersionError, zk.set, "/nodes", b"", version=7)
    raises(NodeExistsError, zk.create, "/nodes")
    raises(NoNodeError, zk.get, "/absent")
    path, stat = zk.create("/nodes/child", b"x", include_data=True)
    assert (path, stat.czxid) == ("/nodes/child", zk.get("/nodes")[1].pzxid)
    raises(NotEmptyError, zk.delete, "/nodes")
    assert zk.create("/nodes/s-", sequence=True) == "/nodes/s-0000000001"
    assert zk.create("/nodes/e", ephemeral=True) == "/nodes/e"
    raises(NoChildrenForEphemeralsError, zk.create, "/nodes/e/x")
    assert zk.get("/nodes/e")[1].ephemeralOwner == zk.client_id[0]
    assert sorted(zk.get_children("/nodes")) == ["child", "e", "s-0000000001"]
    children, stat = zk.get_children("/nodes", include_data=True)
    assert (len(children), stat.cversion) == (3, 3)
    assert zk.sync("/nodes") == "/nodes"
    zk.ensure_path("/nodes/a/b/c")
    zk.delete("/nodes", recursive=True)
    assert zk.exists("/nodes") is None
    assert zk.server_version() >= (3, 9, 4), zk.server_version()
    assert zk.command(b"ruok") == "imok"


def transactions():
    zk = client()
    zk.create("/t")
    transaction = zk.transaction()
    transaction.create("/t/a", b"1")
    transaction.set_data("/t/a", b"2", version=0)
    transaction.check("/t/a", version=1)
    transaction.delete("/t/a", version=1)
    results = transaction.commit()
    assert results[0] == "/t/a" and results[1].version == 1 and results[2:] == [True, True], results
    transaction = zk.transaction()
    transaction.create("/t/b")
    transaction.check("/t", version=9)
    transaction.create("/t/c")
    first, second, third = transaction.commit()
    assert isinstance(first, RolledBackError) and isinstance(second, BadVersionError), (first, second)
    assert zk.get_children("/t") == [] and third is not None


def watches():
    zk, other, events = client(), client(), Events()
    zk.create("/w")
    zk.get("/w", watch=events)
    zk.get_children("/w", watch=events)
    zk.exists("/w/x", watch=events)
    other.set("/w", b"1")
    other.create("/w/x")
    assert events.wait(3) == [(EventType.CHANGED, "/w"), (EventType.CREATED, "/w/x"), (EventType.CHILD, "/w")]
    other.set("/w", b"2")
    lists, seen = [], threading.Condition()

    @zk.ChildrenWatch("/w")
    def children(names):
        with seen:
            lists.append(sorted(names))
            seen.notify_all()

    for name in ("a", "b"):
        other.create(f"/w/{name}")
        with seen:
            assert seen.wait_for(lambda: name in lists[-1], SECONDS), lists
    assert lists[-1] == ["a", "b", "x"], lists


def sessions():
    owner, watcher, events = client(), client(), Events()
    owner.create("/owned", ephemeral=True)
    watcher.exists("/owned", watch=events)
    # The connection is cut, the session goes on.
    states, changed, session = [], threading.Condition(), owner.client_id[0]

    def listen(state):
        with changed:
            states.append(state)
            changed.notify_all()

    owner.add_listener(listen)
    owner._connection._socket.shutdown(socket.SHUT_RDWR)
    with changed:
        assert changed.wait_for(lambda: KazooState.CONNECTED in states, SECONDS), states
    assert KazooState.LOST not in states and owner.client_id[0] == session
    assert owner.get("/owned")[1].ephemeralOwner == session
    owner.stop()
    assert events.wait(1) == [(EventType.DELETED, "/owned")]


def access():
    bob = client(auth_data=[("digest", "bob:secret")])
    anyone = client()
    bob.create("/private", b"", acl=[make_digest_acl("bob", "secret", all=True)])
    bob.create("/shown", b"", acl=[make_digest_acl("bob", "secret", all=True), make_acl("world", "anyone", read=True)])
    raises(NoAuthError, anyone.get, "/private")
    raises(NoAuthError, anyone.set, "/shown", b"")
    raises(NoAuthError, anyone.delete, "/shown/none")
    assert anyone.get_acls("/shown")[0][0].id.id == "bob:x"
    assert bob.get_acls("/shown")[0][0] == bob.get_acls("/private")[0][0]
    anyone.add_auth("digest", "bob:secret")
    assert anyone.get("/private")[0] == b""
    raises(InvalidACLError, bob.create, "/bad", acl=[make_acl("nobody", "knows", all=True)])
    stat = bob.set_acls("/private", [make_acl("ip", "127.0.0.1", read=True)])
    assert stat.aversion == 1


def recipes():
    first, second = client(), client()
    lock = first.Lock("/lock", "first")
    assert lock.acquire(timeout=SECONDS)
    rival = second.Lock("/lock", "second")
    assert not rival.acquire(blocking=False) and rival.contenders() == ["first"]
    acquired = threading.Thread(target=lambda: rival.acquire(timeout=SECONDS))
    acquired.start()
    lock.release()
    acquired.join(SECONDS)
    assert rival.is_acquired
    counter = first.Counter("/counter")
    threads = [threading.Thread(target=lambda zk=zk: [zk.Counter("/counter").__add__(1) for _ in range(20)]) for zk in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counter.value == 40, counter.value
    queue = first.Queue("/queue")
    for item in (b"a", b"b", b"c"):
        queue.put(item)
    assert [second.Queue("/queue").get() for _ in range(3)] == [b"a", b"b", b"c"]
    leader = threading.Event()
    election = first.Election("/election", "first")
    candidate = threading.Thread(target=election.run, args=(leader.set,))
    candidate.start()
    assert leader.wait(SECONDS)
    candidate.join(SECONDS)


def main():
    for check in (nodes, transactions, watches, sessions, access, recipes):
        check()
        print(f"kazoo: {check.__name__} ok")
    for made in CLIENTS:
        made.stop()
        made.close()


main()
