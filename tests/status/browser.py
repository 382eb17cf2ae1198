"""A headless browser that is told what to do over its debugging port."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json

import aiohttp

from tests.programs import program
from tests.waiting import PATIENCE_S

BROWSER = program("chromium")


class Browser:
    """One page of a running browser."""

    def __init__(self, socket):
        self._socket, self._number = socket, 0

    async def call(self, method, **params):
        """The result of one call of the debugging protocol."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE_S):
            async for message in self._socket:
                told = json.loads(message.data)
                if told.get("id") == self._number:
                    assert "error" not in told, told["error"]
                    return told["result"]
        raise AssertionError("the browser is gone")

    async def run(self, script):
        """What an expression gives; a promise is awaited, and what it throws fails the test."""
        told = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, script):
        """Wait until an expression is true, and give what it gives."""
        wait = f"""new Promise((done) => {{
          const look = () => {{
            const found = {script};
            found ? done(found) : setTimeout(look, 30);
          }};
          look();
        }})"""
        return await self.run(wait)

    async def picture(self, path, *, width, height, dark=False):
        """Write what a screen of this size shows."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                        deviceScaleFactor=1, mobile=False)  # fmt: skip
        told = await self.call("Page.captureScreenshot")
        path.write_bytes(base64.b64decode(told["data"]))


@contextlib.asynccontextmanager
async def browsing(address, folder):
    """A `Browser` at an address."""
    folder.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--disable-background-networking", "--remote-debugging-port=0",
        f"--user-data-dir={folder}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = await _port(folder / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = await answer.json()
            url = next(one["webSocketDebuggerUrl"] for one in pages if one["type"] == "page")
            async with session.ws_connect(url, max_msg_size=0) as socket:
                page = Browser(socket)
                await page.call("Page.navigate", url=address)
                yield page
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _port(file, process):
    """The debugging port, once the browser has written it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(OSError, ValueError, IndexError):
                return int(file.read_text("utf-8").splitlines()[0])
            assert process.returncode is None, "the browser ended"
            await asyncio.sleep(0.05)
