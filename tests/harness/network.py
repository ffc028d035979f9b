"""Where servers and clients run: on loopback, or each in a network namespace of its own, on one bridge.

In namespaces any link can be cut: packets are dropped where they arrive, so that nobody is told, as when a cable is out.
Namespaces need root, `ip` and `iptables`.
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess

# The first port of a place that nobody shares; below those that the kernel gives to outgoing connections.
FIRST_PORT = 9001


class Place:
    """An address, and what goes before a command so that it runs there."""

    def __init__(self, host, prefix=()):
        self.host, self.prefix = host, prefix


class Loopback(Place):
    def __init__(self):
        super().__init__("127.0.0.1")

    def free_port(self):
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            return probe.getsockname()[1]


class Namespace(Place):
    """A network namespace that holds one end of a virtual cable; the other end is in the bridge."""

    def __init__(self, name, host):
        super().__init__(host, ("ip", "netns", "exec", name))
        self.name = name
        self.ports = iter(range(FIRST_PORT, FIRST_PORT + 1000))

    def free_port(self):
        return next(self.ports)

    def drop_from(self, host):
        ip_tables(self, "-A", "INPUT", "-s", host, "-j", "DROP")

    def accept_from(self, host):
        """Takes back one `drop_from`; nothing if there is none."""
        ip_tables(self, "-D", "INPUT", "-s", host, "-j", "DROP", check=False)


LOOPBACK = Loopback()


class LoopbackNetwork:
    """Everything on 127.0.0.1. No link can be cut."""

    can_cut = False

    def place(self, _name):
        return LOOPBACK

    def end(self):
        pass


class NamespaceNetwork:
    """A bridge, and the namespaces on it. The machine itself is on it too, with the address `host`."""

    can_cut = True

    def __init__(self):
        remove_leftovers()
        self.number = self.make_bridge()
        self.host = self.address(254)
        self.namespaces = []
        self.cables = []
        self.cuts = set()
        run("ip", "address", "add", f"{self.host}/24", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")

    @property
    def bridge(self):
        return f"whb{self.number}"

    def address(self, index):
        return f"10.213.{self.number}.{index}"

    def make_bridge(self):
        """The first number that no other run on this machine uses."""
        for number in range(256):
            if run("ip", "link", "add", f"whb{number}", "type", "bridge", check=False).returncode == 0:
                return number
        raise OSError("no network bridge could be made: namespaces need root")

    def place(self, name):
        """A new namespace."""
        index = len(self.namespaces) + 1
        namespace = Namespace(f"whimbrel-{os.getpid()}-{self.number}-{name}", self.address(index))
        cable = f"whv{self.number}-{index}"
        run("ip", "netns", "add", namespace.name)
        self.namespaces.append(namespace)
        run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace.name)
        self.cables.append(cable)
        run("ip", "link", "set", cable, "master", self.bridge, "up")
        inside = ("ip", "-n", namespace.name)
        run(*inside, "address", "add", f"{namespace.host}/24", "dev", "eth0")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "link", "set", "eth0", "up")
        return namespace

    def cut_one_way(self, sender, receiver):
        """What `sender` (a host) sends does not arrive at `receiver` (a namespace)."""
        if (sender, receiver) not in self.cuts:
            self.cuts.add((sender, receiver))
            receiver.drop_from(sender)

    def cut(self, one, other):
        """Nothing passes between two namespaces."""
        self.cut_one_way(one.host, other)
        self.cut_one_way(other.host, one)

    def heal(self):
        """Every cut link works again."""
        for sender, receiver in self.cuts:
            receiver.accept_from(sender)
        self.cuts.clear()

    def end(self):
        """Kills what still runs in the namespaces, and removes them and the bridge."""
        for namespace in self.namespaces:
            remove_namespace(namespace.name)
        self.namespaces.clear()
        # A namespace goes some time after its removal, and its end of the cable with it; this end goes at once.
        for cable in self.cables:
            run("ip", "link", "delete", cable, check=False)
        self.cables.clear()
        run("ip", "link", "delete", self.bridge, check=False)


def why_no_namespaces():
    """Why links cannot be cut on this machine, as text; `None` if they can."""
    network = None
    try:
        network = NamespaceNetwork()
        network.cut(network.place("one"), network.place("other"))
    except OSError as error:
        return str(error)
    finally:
        if network:
            network.end()
    return None


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if check and done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done


def ip_tables(namespace, *words, check=True):
    # -w: two processes that change tables at once wait for each other.
    return run(*namespace.prefix, "iptables", "-w", "10", *words, check=check)


def remove_namespace(name):
    for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    run("ip", "netns", "delete", name, check=False)


def remove_leftovers():
    """What a run that was killed left behind: its process id is in the names."""
    for line in run("ip", "netns", "list").stdout.splitlines():
        name = line.split()[0] if line else ""
        words = name.split("-")
        if len(words) >= 4 and words[0] == "whimbrel" and not pathlib.Path(f"/proc/{words[1]}").exists():
            remove_namespace(name)
            run("ip", "link", "delete", f"whb{words[2]}", check=False)
