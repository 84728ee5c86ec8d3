"""Temporary credentials that survive a restart: the session token carries all of them, sealed.

Nothing is stored when a role is assumed: the token holds the secret, the identity and its bounds, encrypted
and authenticated with the data directory's key (`sealing`). Rows would cost a synced write for each
AssumeRole and a sweep for each that has expired, and buy only the revoking of one session, which AWS does
not offer either. Sessions are revoked as on AWS: with their role or user, whose unique id they name; and by
a policy on aws:TokenIssueTime, which says which sessions are too old. Credentials of functions are not of
this kind: they live in memory and end with their environment.
"""

import base64
import binascii
import zlib
from typing import Final

import msgspec

from squib.model.identity import AccessKey, Principal
from squib.model.units import EpochMs
from squib.store.sealing import Seal, SealBroken

MAX_TOKEN_BYTES: Final = 4_096  # AWS publishes no limit of its own; the IAM user guide reserves this much
_PURPOSE: Final = "session-token"
_MAX_PACKED_BYTES: Final = 64 * 1024  # bounds what a token may inflate to; only our own get that far


class _Grant(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    access_key_id: str
    secret_access_key: str
    expires_at_ms: EpochMs
    principal: Principal


_grants: Final = msgspec.msgpack.Decoder(_Grant)


class SessionTokens:
    """Packs temporary keys into tokens, and unpacks them."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def pack(self, key: AccessKey) -> AccessKey:
        """The key, with the token that carries it; `expires_at_ms` must be set."""
        assert key.expires_at_ms is not None
        grant = _Grant(
            access_key_id=key.access_key_id,
            secret_access_key=key.secret_access_key,
            expires_at_ms=key.expires_at_ms,
            principal=key.principal,
        )
        packed = zlib.compress(msgspec.msgpack.encode(grant), 9)
        token = base64.b64encode(self._seal.seal(packed, purpose=_PURPOSE)).decode()
        return msgspec.structs.replace(key, session_token=token)

    def unpack(self, access_key_id: str, token: str) -> AccessKey | None:
        """The key that a token carries; None when it was not packed here, or for another access key id."""
        try:
            packed = self._seal.open(base64.b64decode(token, validate=True), purpose=_PURPOSE)
            inflater = zlib.decompressobj()
            grant = _grants.decode(inflater.decompress(packed, _MAX_PACKED_BYTES))
        except (SealBroken, binascii.Error, ValueError, zlib.error, msgspec.MsgspecError):
            return None
        if grant.access_key_id != access_key_id:
            return None
        return AccessKey(
            access_key_id=grant.access_key_id,
            secret_access_key=grant.secret_access_key,
            session_token=token,
            expires_at_ms=grant.expires_at_ms,
            principal=grant.principal,
        )


def packed_percent(key: AccessKey) -> int:
    """How much of the longest token a packed key takes, in percent, rounded up."""
    assert key.session_token is not None
    return -(-100 * len(key.session_token) // MAX_TOKEN_BYTES)
