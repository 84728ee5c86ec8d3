"""Cross-origin rules of a function URL: which web pages may read its answers. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from squib.model.function_url import Cors

_PREFIX: Final = "access-control-"


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks what it may send, rather than sending it."""
    return method == "OPTIONS" and "origin" in headers and f"{_PREFIX}request-method" in headers


def cors_headers(cors: Cors, headers: Mapping[str, str], *, is_preflight: bool) -> list[tuple[str, str]]:
    """The headers to add to an answer; none for a page that may not read it."""
    origin = headers.get("origin")
    allowed = cors.allow_origins or ()
    if origin is None or not ("*" in allowed or origin in allowed):
        return []
    shows_origin = "*" not in allowed or cors.allow_credentials is True
    found = [(f"{_PREFIX}allow-origin", origin if shows_origin else "*")]
    if shows_origin:
        found.append(("vary", "Origin"))
    if cors.allow_credentials:
        found.append((f"{_PREFIX}allow-credentials", "true"))
    if not is_preflight:
        return found + _listed("expose-headers", cors.expose_headers)
    found += _listed("allow-methods", cors.allow_methods)
    found += _listed("allow-headers", cors.allow_headers)
    if cors.max_age_s is not None:
        found.append((f"{_PREFIX}max-age", str(cors.max_age_s)))
    return found


def with_cors(answer: Sequence[tuple[str, str]], added: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of a function's answer with those of its URL, which count before the function's own."""
    return [*(one for one in answer if not one[0].startswith(_PREFIX)), *added]


def _listed(name: str, values: Sequence[str] | None) -> list[tuple[str, str]]:
    return [(f"{_PREFIX}{name}", ",".join(values))] if values else []
