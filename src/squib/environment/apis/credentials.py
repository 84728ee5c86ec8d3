"""The credentials of an environment that starts from a snapshot, as SDKs ask for them. Pure.

They are no variables: those are part of the snapshot. SDKs know the address and the token instead, and ask
anew when what they have is about to expire.
"""

import hmac
from datetime import UTC, datetime
from typing import Final

import msgspec

from squib.model.identity import AccessKey
from squib.model.units import EpochMs

PATH: Final = "/2021-04-23/credentials"
URI: Final = f"http://127.0.0.1:9001{PATH}"  # the Runtime API's own address in every sandbox
LIFETIME_MS: Final = 12 * 3600 * 1000  # the longest a session of a role may last, as on AWS
SNAPSHOT_LIFETIME_MS: Final = 5 * 60 * 1000
"""squib's choice: what is told before a snapshot is good for so long. SDKs ask anew within the last ten
minutes, so that no environment goes on with the credentials of another."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """Of one environment, or of what a snapshot is taken of."""

    key: AccessKey
    token: str
    """What SDKs authorize themselves with: the same in every environment of one snapshot."""
    told_lifetime_ms: int = LIFETIME_MS
    """How long they are said to be good for from when they are asked for. They are as long as the environment
    lives, which is always less."""

    def answer(self, authorization: str, now_ms: EpochMs) -> tuple[int, bytes]:
        """Status and body of a request."""
        if not hmac.compare_digest(authorization.encode(), self.token.encode()):
            return 403, msgspec.json.encode({"code": "Forbidden", "message": "Wrong authorization token"})
        key = self.key
        expires_at_s = (now_ms + self.told_lifetime_ms) // 1000
        told = {
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": key.secret_access_key,
            "Token": key.session_token,
            "Expiration": f"{datetime.fromtimestamp(expires_at_s, UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        return 200, msgspec.json.encode(told)
