"""What an extension asks of the Telemetry API and of the Logs API: their request bodies, checked. Pure."""

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from squib.model.limits import (
    DEFAULT_TELEMETRY_TIMEOUT_MS,
    MAX_TELEMETRY_BYTES,
    MAX_TELEMETRY_ITEMS,
    MAX_TELEMETRY_TIMEOUT_MS,
    MIN_TELEMETRY_BYTES,
    MIN_TELEMETRY_ITEMS,
    MIN_TELEMETRY_TIMEOUT_MS,
)

TELEMETRY: Final = "Telemetry"
LOGS: Final = "Logs"
TYPES: Final = ("platform", "function", "extension")
SCHEMA_VERSIONS: Final = {
    TELEMETRY: ("2022-07-01", "2022-12-13", "2025-01-29"),
    LOGS: ("2020-08-15", "2021-03-18"),
}
HOSTS: Final = ("sandbox.localdomain", "sandbox.local", "sandbox")
RUNTIME_API_PORT: Final = 9001
_BUFFERING: Final = {
    "maxItems": (MIN_TELEMETRY_ITEMS, MAX_TELEMETRY_ITEMS, MAX_TELEMETRY_ITEMS),
    "maxBytes": (MIN_TELEMETRY_BYTES, MAX_TELEMETRY_BYTES, MIN_TELEMETRY_BYTES),
    "timeoutMs": (MIN_TELEMETRY_TIMEOUT_MS, MAX_TELEMETRY_TIMEOUT_MS, DEFAULT_TELEMETRY_TIMEOUT_MS),
}
"""Member -> least, greatest, default."""


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted subscription. Its destination is always a port of the sandbox's own loopback."""

    api: str
    """TELEMETRY or LOGS."""
    schema_version: str
    types: tuple[str, ...]
    protocol: str
    """`HTTP` or `TCP`."""
    port: int
    host: str = HOSTS[0]
    """As the extension spells it; for the Host header."""
    path: str = "/"
    max_items: int = MAX_TELEMETRY_ITEMS
    max_bytes: int = MIN_TELEMETRY_BYTES
    timeout_ms: int = DEFAULT_TELEMETRY_TIMEOUT_MS


def parse(api: str, body: bytes) -> Subscription | str:
    """The subscription that a request body asks for; a text that says all that is wrong with it."""
    try:
        given = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "request body is not a JSON object"
    wrong: list[str] = []
    version = given.get("schemaVersion", SCHEMA_VERSIONS[api][0] if api == LOGS else None)
    if version not in SCHEMA_VERSIONS[api]:
        wrong.append("schemaVersion is not provided" if version is None else "schemaVersion is not supported")
    destination = _destination(given.get("destination"), wrong)
    types = given.get("types")
    if not isinstance(types, list) or not types:
        wrong.append("types should not be empty")
        types = []
    elif any(one not in TYPES for one in types):
        wrong.append(f"types should be among {', '.join(TYPES)}")
        types = []
    buffering = _buffering(given.get("buffering"), wrong)
    if wrong:
        return "; ".join(wrong)
    return Subscription(
        api=api,
        schema_version=str(version),
        types=tuple(one for one in TYPES if one in types),
        max_items=buffering["maxItems"],
        max_bytes=buffering["maxBytes"],
        timeout_ms=buffering["timeoutMs"],
        **destination,
    )


def _destination(given: object, wrong: list[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        wrong.append("destination is not provided")
        return {}
    protocol, uri, port = given.get("protocol"), given.get("URI"), given.get("port")
    if protocol not in ("HTTP", "TCP"):
        wrong.append("destination protocol should be HTTP or TCP")
        return {}
    if given.get("method", "POST") != "POST" or given.get("encoding", "JSON") != "JSON":
        wrong.append("destination should use method POST and encoding JSON")
    if protocol == "TCP" and uri is None:
        return {"protocol": protocol, "port": _port(port, wrong)}
    if not isinstance(uri, str):
        wrong.append("URI is not provided")
        return {}
    try:
        parts = urlsplit(uri)
        host, uri_port = parts.hostname, parts.port
    except ValueError:
        wrong.append("URI is not valid")
        return {}
    path = parts.path or "/"
    if parts.query:
        path += f"?{parts.query}"
    if not path.isascii() or not path.isprintable() or " " in path:
        wrong.append("URI is not valid")
    if host not in HOSTS:
        wrong.append(f"URI host should be {HOSTS[0]}")
    if parts.scheme != protocol.lower():
        wrong.append(f"URI scheme should be {protocol.lower()}")
    return {"protocol": protocol, "port": _port(uri_port, wrong), "host": host, "path": path}


def _port(port: object, wrong: list[str]) -> int:
    if port is None:
        wrong.append("URI port is not provided")
    elif not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        wrong.append("URI port is not valid")
    elif port == RUNTIME_API_PORT:
        wrong.append(f"port {RUNTIME_API_PORT} is reserved")
    else:
        return port
    return 0


def _buffering(given: object, wrong: list[str]) -> dict[str, int]:
    chosen = {name: default for name, (_, _, default) in _BUFFERING.items()}
    if given is None:
        return chosen
    if not isinstance(given, dict):
        wrong.append("buffering should be an object")
        return chosen
    for name, (least, greatest, _) in _BUFFERING.items():
        value = given.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= greatest:
            wrong.append(f"{name} should be between {least} and {greatest}")
        else:
            chosen[name] = value
    return chosen
