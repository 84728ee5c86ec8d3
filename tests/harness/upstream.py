"""The little of SNS, EventBridge and S3 that deliveries need: takes what is sent, and remembers it."""

import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from harness.local_server import Answering, LocalServer


class UpstreamServices(LocalServer):
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

        class Handler(Answering):
            def do_POST(self) -> None:
                server.signatures.append(self.headers.get("Authorization", ""))
                self.answer(*server.take(self.headers.get("X-Amz-Target", ""), self.body()))

            def do_PUT(self) -> None:
                server.signatures.append(self.headers.get("Authorization", ""))
                server.objects[unquote(urlsplit(self.path).path.lstrip("/"))] = self.body()
                self.answer(503 if server.is_down else 200, b"")

        super().__init__(Handler)

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
