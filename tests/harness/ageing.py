"""A way to Kinesis through which records look older than they are: for what becomes of old ones."""

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class Ageing:
    """Passes requests of the JSON protocol on to `url`; a context manager. Records whose partition key is
    `old` come back as if they had arrived `age_s` earlier."""

    def __init__(self, url: str, *, age_s: float) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
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
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "Ageing":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def aged(content: bytes, age_s: float) -> bytes:
    """The answer of a GetRecords, its old records older."""
    answer = json.loads(content)
    for record in answer["Records"]:
        if record["PartitionKey"] == "old":
            record["ApproximateArrivalTimestamp"] -= age_s
    return json.dumps(answer).encode()
