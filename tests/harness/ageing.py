"""A way to Kinesis through which records look older than they are: for what becomes of old ones."""

import json
import urllib.error
import urllib.request

from harness.local_server import Answering, LocalServer


class Ageing(LocalServer):
    """Passes requests of the JSON protocol on to `url`; a context manager. Records whose partition key is
    `old` come back as if they had arrived `age_s` earlier."""

    def __init__(self, url: str, *, age_s: float) -> None:
        class Handler(Answering):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.body()
                headers = {name: value for name, value in self.headers.items() if name != "Connection"}
                request = urllib.request.Request(url + self.path, body, headers)
                try:
                    with urllib.request.urlopen(request, timeout=30) as answer:
                        status, content, kind = answer.status, answer.read(), answer.headers["Content-Type"]
                except urllib.error.HTTPError as error:
                    with error:
                        status, content, kind = error.code, error.read(), error.headers["Content-Type"]
                if self.headers["X-Amz-Target"].endswith(".GetRecords") and status == 200:
                    content = aged(content, age_s)
                self.answer(status, content, kind)

        super().__init__(Handler)


def aged(content: bytes, age_s: float) -> bytes:
    """The answer of a GetRecords, its old records older."""
    answer = json.loads(content)
    for record in answer["Records"]:
        if record["PartitionKey"] == "old":
            record["ApproximateArrivalTimestamp"] -= age_s
    return json.dumps(answer).encode()
