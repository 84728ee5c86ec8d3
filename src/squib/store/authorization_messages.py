"""What an authorization decision was made of, encoded so that only who may decode it can read it
(DecodeAuthorizationMessage): sealed, so that nobody else has made it and nothing in it shows."""

import base64
from typing import Any, Final

import msgspec

from squib.store.sealing import Seal, SealBroken

_PURPOSE: Final = "authorization-message"


class AuthorizationMessages:
    """Encodes and decodes."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def encode(self, content: Any) -> str:
        """The text that goes into an error message; `content` is what JSON can say."""
        sealed = self._seal.seal(msgspec.json.encode(content), purpose=_PURPOSE)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def decode(self, text: str) -> str | None:
        """The JSON that was encoded; None for what was not encoded here."""
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return self._seal.open(sealed, purpose=_PURPOSE).decode()
        except (SealBroken, ValueError):
            return None
