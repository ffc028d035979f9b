"""Starts a broker, runs a command with its address in BOOTSTRAP, and ends the broker.

    python3 -m harness.with_broker [--set key=value]... -- COMMAND...

The command may kill and start the broker by connecting to 127.0.0.1:$BROKER_CONTROL and sending one line, `kill`
(SIGKILL), `start`, `restart` (both) or `stop` (SIGTERM); the answer is the line `ok` once it is done. The broker's
process id is in the file $BROKER_FOLDER/pid.
"""

import argparse
import os
import signal
import socketserver
import subprocess
import sys
import threading

from .folders import temporary_folder
from .servers import broker_under_test


class Control(socketserver.StreamRequestHandler):
    def handle(self):
        broker = self.server.broker
        actions = {"kill": broker.kill, "start": broker.start, "restart": broker.restart_after_kill, "stop": broker.stop}
        for line in self.rfile:
            try:
                actions[line.decode().strip()]()
                self.wfile.write(b"ok\n")
            except Exception as error:
                self.wfile.write(f"failed: {error}\n".encode())


def serve_control(broker):
    """Serves the control port in a thread of its own and returns its port."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Control)
    server.daemon_threads = True
    server.broker = broker
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def run_bounded(command, environment, seconds):
    """Runs the command in a process group of its own, which is killed when the time is over; its exit status."""
    child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"the checks took more than {seconds} s", file=sys.stderr)
        return 1
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)


def main():
    # An end from outside must not leave servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--seconds", type=int, default=300, help="the command is killed when it takes longer")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    properties = dict(setting.split("=", 1) for setting in arguments.settings)
    with temporary_folder("test") as folder:
        broker = broker_under_test(folder, properties)
        try:
            broker.start()
            environment = {
                **os.environ,
                "BOOTSTRAP": broker.address,
                "BROKER_CONTROL": str(serve_control(broker)),
                "BROKER_FOLDER": str(broker.folder),
                "BROKER_DATA": str(broker.data),
            }
            status = run_bounded(arguments.command, environment, arguments.seconds)
            if status == 0 and not broker.alive():
                print(f"the broker died\n{broker.log_tail()}", file=sys.stderr)
                status = 1
        finally:
            broker.end()
        sys.exit(status)


if __name__ == "__main__":
    main()
