"""A headless Chromium, driven over its DevTools protocol."""

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import websocket

# A start on a busy machine, and one answer.
START_SECONDS, ANSWER_SECONDS = 30, 30
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-port=0 "
    "--remote-allow-origins=*"
).split()


class Browser:
    """One tab. `events` holds what the browser said by itself, until `forget`."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="bench-report-"))
        home = {"HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        self.process = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={self.folder}/profile", "about:blank"],
            env=os.environ | home, stdout=subprocess.DEVNULL, stderr=open(self.folder / "log", "w"), start_new_session=True,
        )
        try:
            self.socket = websocket.create_connection(self._tab(), timeout=ANSWER_SECONDS, suppress_origin=True, http_no_proxy=["*"])
        except BaseException:
            self.__exit__()
            raise
        self.events, self.calls = [], 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, 9)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tab(self):
        """The address of the first tab's socket, once the browser has written down its port."""
        written, until = self.folder / "profile" / "DevToolsActivePort", time.monotonic() + START_SECONDS
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            if written.exists() and (port := written.read_text().split("\n")[0]):
                tabs = json.load(direct.open(f"http://127.0.0.1:{port}/json/list"))
                if tab := next((tab for tab in tabs if tab["type"] == "page"), None):
                    return tab["webSocketDebuggerUrl"]
            time.sleep(0.05)
        raise RuntimeError(f"chromium is not up: {(self.folder / 'log').read_text()[-2000:]}")

    def call(self, method, **parameters):
        self.calls += 1
        self.socket.send(json.dumps({"id": self.calls, "method": method, "params": parameters}))
        while True:
            said = self._receive()
            if said.get("id") == self.calls:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                return said["result"]

    def _receive(self):
        said = json.loads(self.socket.recv())
        if "method" in said:
            self.events.append(said)
        return said

    def open(self, address):
        """Goes to a page and waits until it is loaded."""
        self.events = []
        self.call("Page.navigate", url=address)
        self.wait_for("Page.loadEventFired")

    def wait_for(self, method):
        """Until the browser has said it; a time-out of the socket is an error."""
        while not any(event["method"] == method for event in self.events):
            self._receive()

    def evaluate(self, expression):
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression[:80]}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def look(self, width, dark=False, media=""):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)

    def screenshot(self, path):
        import base64

        height = self.evaluate("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": self.evaluate("innerWidth"), "height": min(height, 12_000), "scale": 1}
        found = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))
