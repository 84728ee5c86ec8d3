"""An S3 of a few objects: what squib asks it for, it answers as S3 does. Not more."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, unquote, urlsplit


class S3:
    """Serves objects on loopback; a context manager."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        """"bucket/key" or "bucket/key?version" -> content. May be added to at any time."""
        self.denied: set[str] = set()
        """Names that nobody may read."""
        self.signatures: list[str] = []
        """The Authorization header of each request, empty for none."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.signatures.append(self.headers.get("Authorization", ""))
                status, content = server.answer(self.path)
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

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body for a GET."""
        parts = urlsplit(path)
        name = unquote(parts.path.lstrip("/"))
        bucket = name.partition("/")[0]
        if version := parse_qs(parts.query).get("versionId"):
            name = f"{name}?{version[0]}"
        if name in self.denied:
            return _error(403, "AccessDenied", "Access Denied")
        if name in self.objects:
            return 200, self.objects[name]
        if any(key.startswith(f"{bucket}/") for key in self.objects):
            return _error(404, "NoSuchKey", "The specified key does not exist.")
        return _error(404, "NoSuchBucket", "The specified bucket does not exist")

    def __enter__(self) -> "S3":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _error(status: int, code: str, message: str) -> tuple[int, bytes]:
    return status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
