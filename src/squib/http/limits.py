"""What one HTTP server lets a client use up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Bounds of one server. The numbers are our own choice unless said otherwise."""

    max_body_bytes: int
    max_held_bytes: int = 512 << 20
    """Of bodies that have not come to their end, over all connections: who sends them is not known yet."""
    max_head_bytes: int = 64 * 1024
    """Of a head that does not arrive in one piece; one that does is bounded by the read size."""
    max_headers: int = 100
    max_connections: int = 4096
    head_timeout_s: float = 10.0
    """From the first byte of a request to the end of its head."""
    stall_timeout_s: float = 30.0
    """Without any progress of a body, in or out."""
    idle_timeout_s: float = 75.0
    """Between two requests."""
    linger_s: float = 2.0
    """For reading an answer given before the request was read to its end."""
    has_timeouts: bool = True
    """False when the times above do not count, and no time is spent on watching them."""
