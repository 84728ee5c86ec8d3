"""One small HTTP/1.1 server for the hot path, used by the gateway and by the Runtime API."""
