"""The command's way to a running agent, when what answers is none."""

from __future__ import annotations

import socket
import threading

import pytest

from agent.client import request
from agent.errors import FieldwardenError


@pytest.mark.parametrize("body", [b"[]", b"3", b"null", b'"x"', b"{", b"\xff"])
@pytest.mark.parametrize("status", [b"200 OK", b"422 No"])
def test_an_answer_that_is_no_document_is_an_error_with_its_path(tmp_path, body, status):
    """Another program may listen at the path that the configuration names."""
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def answer():
            link, _ = listening.accept()
            with link:
                link.recv(4096)
                head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
                link.sendall(head + body)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(FieldwardenError, match="asking the agent at"):
            request(path, "GET", "/api/v1/person", timeout_s=5)
        thread.join()
