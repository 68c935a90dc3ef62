"""A browser for the tests of pages: Chromium without a window, driven over a pipe (CDP)."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: No page of these tests takes a second on a quiet machine.
PATIENCE = 60.0


def chromium() -> str | None:
    """Where Chromium is, if it is installed."""
    named = os.environ.get("PROVARA_E2E_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Page:
    """One page at one width and in one colour scheme."""

    browser: Browser
    session: str
    width: int

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, whatever scripts the page has."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def call(self, method: str, **parameters: Any) -> Any:
        return self.browser.call(method, self.session, **parameters)

    def screenshot(self, path: Path, height: int | None = None) -> None:
        """The page from its top: all of it, or so many pixels."""
        whole = int(
            self.evaluate("Math.ceil(document.documentElement.getBoundingClientRect().height)")
        )
        clip = {
            "x": 0,
            "y": 0,
            "width": self.width,
            "height": min(whole, height or whole),
            "scale": 1,
        }
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self, path: Path) -> None:
        """The page as it is printed."""
        printed = self.call("Page.printToPDF", preferCSSPageSize=False, printBackground=False)
        path.write_bytes(base64.b64decode(printed["data"]))


@dataclass
class Browser:
    """A running Chromium."""

    process: subprocess.Popen[bytes]
    out: int
    into: int
    number: int = 0
    pending: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self.into, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.pending:
            read = os.read(self.out, 1 << 20)
            assert read, f"the browser ended: {self.process.poll()}"
            self.pending += read
        message, _, self.pending = self.pending.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def wait_for(self, method: str, session: str) -> None:
        """Waits for an event of a session."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for event in self.events:
                if event.get("method") == method and event.get("sessionId") == session:
                    return
            self.events.append(self._next())
        raise TimeoutError(method)

    def told(self, page: Page, method: str) -> list[dict[str, Any]]:
        """What the browser told of a page meanwhile."""
        ours = (event for event in self.events if event.get("sessionId") == page.session)
        return [event["params"] for event in ours if event.get("method") == method]

    def open(
        self, file: Path, *, width: int, scheme: str, scripts: bool = True, before: str = ""
    ) -> Page:
        """Opens a file in a window of this width, with a preference for this colour scheme.

        Its scripts may be switched off; `before` is run before them.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, width)
        for domain in ("Page", "Network", "Log", "Runtime"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=844,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.call("Emulation.setEmulatedMedia", features=features)
        if not scripts:
            page.call("Emulation.setScriptExecutionDisabled", value=True)
        if before:
            page.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        page.call("Page.navigate", url=file.resolve().as_uri())
        self.wait_for("Page.loadEventFired", session)
        return page


@contextlib.contextmanager
def browser(executable: str, profile: Path) -> Iterator[Browser]:
    """Starts Chromium with a profile of its own, and ends it."""
    to_read, their_write = os.pipe()
    their_read, to_write = os.pipe()
    # The protocol is spoken over the descriptors 3 and 4.
    script = f'exec "$0" "$@" 3<&{their_read} 4>&{their_write}'
    options = ["--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
    options += ["--remote-debugging-pipe", "--disable-dev-shm-usage", "--hide-scrollbars"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    process = subprocess.Popen(
        ["/bin/bash", "-c", script, executable, *options],
        pass_fds=(their_read, their_write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(their_read)
    os.close(their_write)
    try:
        yield Browser(process, to_read, to_write)
    finally:
        os.close(to_write)
        os.close(to_read)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
