"""Chromium without a window, driven over a pipe by its own protocol: what a page logs and requests, and what a reader can do."""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
# The protocol's file descriptors are 3 and 4, of which one may be taken.
START = """
import os, sys
for number, apart in zip(sys.argv[1:3], (198, 199)):
    os.dup2(int(number), apart)
os.dup2(198, 3)
os.dup2(199, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
PATIENCE = 60  # seconds
LOGGED = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")


class Page:
    """A page in a browser.  logged: errors and whatever else it logs;  requests: the addresses that it asks for"""

    def __init__(self, profile):
        self.numbers, self.logged, self.requests, self.events = itertools.count(1), [], [], []
        (theirs_in, self.to), (self.back, theirs_out) = os.pipe(), os.pipe()
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        ends = str(theirs_in), str(theirs_out)
        self.process = subprocess.Popen([sys.executable, "-c", START, *ends, *command], pass_fds=(theirs_in, theirs_out), **quiet)
        os.close(theirs_in)
        os.close(theirs_out)
        self.buffer, self.session = b"", None
        try:
            self.attach()
        except BaseException:
            self.close()
            raise

    def attach(self):
        """Connect to the empty page that the browser shows."""
        target = next(each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def receive(self):
        """The next message; events are kept."""
        while b"\0" not in self.buffer:
            assert select.select([self.back], [], [], PATIENCE)[0], "the browser says nothing"
            part = os.read(self.back, 1 << 20)
            assert part, "the browser ended"
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(message)
        if "method" in message:
            self.events.append(message["method"])
            if message["method"] in LOGGED:
                self.logged.append(message["params"])
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
        return message

    def call(self, method, **parameters):
        """The result of a command."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": self.session} if self.session else {})
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path, width=1400, height=1000, dark=False):
        """Load a file in a window of this size, in one of the color schemes."""
        self.logged.clear()
        self.requests.clear()
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=path.as_uri())
        while "Page.loadEventFired" not in self.events:
            self.receive()

    def run(self, expression):
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def center(self, selector):
        """The middle of an element, scrolled into view."""
        return self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
            "const b = e.getClientRects()[0]; return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )

    def hover(self, selector):
        x, y = self.center(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def touch(self, selector):
        x, y = self.center(selector)
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text="" if len(key) > 1 else key)

    def picture(self, path, whole=True):
        """A screenshot as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def close(self):
        with contextlib.suppress(Exception):
            self.call("Browser.close")
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.back)


def complaints(page):
    """What a reader would stumble over on the page as it is shown now, by the rules of page_rules.js."""
    rules = Path(__file__).with_name("page_rules.js").read_text(encoding="utf-8").partition("\n")[2]
    kept = "Object.fromEntries(Object.entries(rules).map(([name, rule]) => [name, rule()]).filter(([, found]) => found.length))"
    return page.run(f"((rules) => {kept})({rules})")
