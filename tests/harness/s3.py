"""An S3 of a few objects: what squib asks it for, it answers as S3 does. Not more."""

from urllib.parse import parse_qs, unquote, urlsplit

from harness.local_server import Answering, LocalServer


class S3(LocalServer):
    """Serves objects on loopback; a context manager."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        """"bucket/key" or "bucket/key?version" -> content. May be added to at any time."""
        self.denied: set[str] = set()
        """Names that nobody may read."""
        self.signatures: list[str] = []
        """The Authorization header of each request, empty for none."""
        server = self

        class Handler(Answering):
            def do_GET(self) -> None:
                server.signatures.append(self.headers.get("Authorization", ""))
                self.answer(*server.answer(self.path))

        super().__init__(Handler)

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


def _error(status: int, code: str, message: str) -> tuple[int, bytes]:
    return status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
