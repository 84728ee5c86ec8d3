"""The little of SNS, EventBridge and S3 that deliveries need: takes what is sent, and remembers it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class UpstreamServices:
    """Serves on loopback; a context manager."""

    def __init__(self) -> None:
        self.published: list[dict[str, str]] = []
        """Parameters of each Publish."""
        self.events: list[dict[str, Any]] = []
        """Entries of PutEvents."""
        self.objects: dict[str, bytes] = {}
        """`bucket/key` -> content."""
        self.signatures: list[str] = []
        self.is_down = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.signatures.append(self.headers.get("Authorization", ""))
                self.answer(*server.take(self.headers.get("X-Amz-Target", ""), self.body()))

            def do_PUT(self) -> None:
                server.signatures.append(self.headers.get("Authorization", ""))
                server.objects[unquote(urlsplit(self.path).path.lstrip("/"))] = self.body()
                self.answer(503 if server.is_down else 200, b"")

            def body(self) -> bytes:
                if "chunked" in self.headers.get("Transfer-Encoding", ""):
                    raise AssertionError("not expected here")
                return self.rfile.read(int(self.headers.get("Content-Length", "0")))

            def answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def take(self, target: str, body: bytes) -> tuple[int, bytes]:
        """Status and body for a POST."""
        if self.is_down:
            return 503, b""
        if target == "AWSEvents.PutEvents":
            self.events += json.loads(body)["Entries"]
            return 200, b'{"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}'
        given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if given.get("Action") != "Publish":
            return 400, b""
        self.published.append(given)
        answer = "<PublishResult><MessageId>1</MessageId></PublishResult>"
        return 200, f"<PublishResponse>{answer}</PublishResponse>".encode()

    def __enter__(self) -> "UpstreamServices":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
