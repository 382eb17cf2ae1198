"""An HTTP endpoint in a process of its own, which keeps what it was sent and answers as told.

Run as a program: `endpoint.py PORT FOLDER`. Each request is a file in the folder; `answer` there
says the status of the next answers, seconds before each, and headers: `503 0 {"Retry-After": "9"}`.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def serve(port: int, folder: Path) -> None:
    """Until it is ended."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, wait_s, more = (folder / "answer").read_text().split(" ", 2)
            time.sleep(float(wait_s))
            told = {"headers": dict(self.headers), "body": body.decode(), "status": int(status)}
            place = folder / f"{time.monotonic_ns():020}.json"
            place.with_suffix(".part").write_text(json.dumps(told))
            place.with_suffix(".part").rename(place)
            with contextlib.suppress(ConnectionError):
                self.send_response(int(status))
                for name, value in json.loads(more).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def do_OPTIONS(self) -> None:
            self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to the terminal."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


class Endpoint:
    """The process, as a test sees it."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.port, self.process = folder, port, None
        self.url = f"http://127.0.0.1:{port}/hook"
        self.answers(204)

    def answers(self, status: int, wait_s: float = 0.0, **headers: str) -> None:
        """From the next request on; a header `Retry-After` is written `retry_after`."""
        more = json.dumps({name.replace("_", "-"): value for name, value in headers.items()})
        (self.folder / "next").write_text(f"{status} {wait_s} {more}")
        (self.folder / "next").rename(self.folder / "answer")

    def start(self) -> None:
        command = [sys.executable, __file__, str(self.port), str(self.folder)]
        self.process = subprocess.Popen(command)
        from tests.waiting import wait_until  # the program, run by its path, has no such module

        wait_until(self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            request = urllib.request.Request(self.url, method="OPTIONS")
            OPENER.open(request, timeout=5).close()
            return True
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def requests(self, status: int | None = None) -> list[dict]:
        """What came so far, in order; with an answer of that status."""
        found = [json.loads(one.read_text()) for one in sorted(self.folder.glob("*.json"))]
        return [one for one in found if status in {None, one["status"]}]

    def taken(self) -> list[dict]:
        """The events of what it said it took."""
        return [json.loads(one["body"]) for one in self.requests(204)]


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
