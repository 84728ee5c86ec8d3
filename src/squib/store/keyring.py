"""Every access key that may sign now: root keys from the data directory, users' keys, sessions, and the
keys of live environments, which end with their environment and are never stored.

Answers from memory. A key that is deactivated or deleted, a user or role that is gone, is refused on the very
next call: what is remembered here is looked up again in the collections each time.
"""

import base64
from collections.abc import Set
from typing import Final

from squib.clock import Clock, Entropy
from squib.iam.unique_ids import KEY_NOISE_BYTES, LONG_LIVED, TEMPORARY, access_key_id, account_of
from squib.model.entity import User
from squib.model.function import FunctionVersion
from squib.model.identity import (
    AccessKey,
    Principal,
    PrincipalKind,
    Session,
    role_session_principal,
    user_principal,
)
from squib.model.item import ItemKey
from squib.model.units import AccountId, EnvironmentId, EpochMs
from squib.model.user_key import UserKey, user_key_key
from squib.store.base import Collection
from squib.store.credentials import RootKeys
from squib.store.identities import Identities
from squib.store.key_uses import KeyUses
from squib.store.sealing import Seal, SealBroken
from squib.store.session_tokens import SessionTokens

_MAX_REMEMBERED: Final = 1_024  # our own choice, of users' keys: opening a sealed one takes some 10 us
_MAX_SESSIONS: Final = 512  # our own choice: with its tags and policies, each takes up to 25 KB


class KeyRing:
    """Finds, mints and revokes keys. One owner: the event loop, but that `find` may be asked from any
    thread."""

    def __init__(
        self,
        roots: RootKeys,
        identities: Identities,
        user_keys: Collection[ItemKey, UserKey],
        uses: KeyUses,
        seal: Seal,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._clock, self._entropy = clock, entropy
        self._identities, self._user_keys, self._seal = identities, user_keys, seal
        self.uses = uses
        self._tokens = SessionTokens(seal)
        self._root_keys = roots
        self._roots: dict[str, AccessKey] = {}
        self._take_roots()
        self._minted: dict[str, AccessKey] = {}
        self._of_users: dict[str, tuple[UserKey, User, AccessKey]] = {}
        self._of_sessions: dict[str, AccessKey] = {}

    def find(self, access_key_id: str, session_token: str | None = None) -> AccessKey | None:
        """The key of that id; None when there is none (any more). The token is read where it carries the key:
        the caller still compares it."""
        key = self._roots.get(access_key_id) or self._minted.get(access_key_id)
        if key is not None:
            return key
        if session_token is not None:
            return self._find_of_session(access_key_id, session_token)
        key = self._find_of_user(access_key_id)
        if key is None and self.refresh():
            key = self._roots.get(access_key_id)
        return key

    @property
    def accounts(self) -> Set[AccountId]:
        """The accounts that have a root key."""
        return self._root_keys.keys.keys()

    def refresh(self) -> bool:
        """Takes in accounts that were added while squib runs; says whether there may be any."""
        if not self._root_keys.refresh():
            return False
        self._take_roots()
        return True

    def _take_roots(self) -> None:
        self._roots = {key.access_key_id: key for key in self._root_keys.keys.values()}

    def _find_of_user(self, key_id: str) -> AccessKey | None:
        account_id = account_of(key_id)
        stored = None if account_id is None else self._user_keys.peek(user_key_key(account_id, key_id))
        if stored is None or not stored.is_active:
            return None
        user = self._identities.user(stored.account_id, stored.user_name)
        if user is None or user.unique_id != stored.user_id:
            return None
        known = self._of_users.get(key_id)
        if known is not None and known[0] is stored and known[1] is user:
            return known[2]
        try:
            secret = self._seal.open_text(stored.sealed_secret, purpose=secret_purpose(key_id))
        except SealBroken:
            return None
        key = AccessKey(access_key_id=key_id, secret_access_key=secret, principal=user_principal(user))
        if len(self._of_users) >= _MAX_REMEMBERED:
            self._of_users.clear()
        self._of_users[key_id] = (stored, user, key)
        return key

    def _find_of_session(self, key_id: str, token: str) -> AccessKey | None:
        key = self._of_sessions.get(token)
        if key is None:
            key = self._tokens.unpack(key_id, token)
            if key is None:
                return None
            if len(self._of_sessions) >= _MAX_SESSIONS:
                self._of_sessions.clear()
            self._of_sessions[token] = key
        if key.access_key_id != key_id:
            return None
        principal = key.principal
        if principal.kind is PrincipalKind.ROOT:
            return key if principal.account_id in self._root_keys.keys else None
        return key if self._identities.entity_of(principal) is not None else None

    def used(self, key: AccessKey, service: str, region: str, at_ms: EpochMs) -> None:
        """Notes that a key has signed a call."""
        principal = key.principal
        if principal.kind is PrincipalKind.ASSUMED_ROLE:
            self.uses.note(principal.account_id, principal.entity_id, service, region, at_ms)
        elif key.session_token is None:
            self.uses.note(principal.account_id, key.access_key_id, service, region, at_ms)

    def root_key_id(self, account_id: AccountId) -> str | None:
        """The access key of an account's root, by its id."""
        key = self._root_keys.keys.get(account_id)
        return None if key is None else key.access_key_id

    # --- making

    def user_key(self, user: User, now_ms: EpochMs) -> tuple[UserKey, str]:
        """A new key of a user, to be stored, and its secret, to be told once."""
        key_id = access_key_id(LONG_LIVED, user.account_id, self._entropy.token(KEY_NOISE_BYTES))
        secret = base64.b64encode(self._entropy.token(30)).decode()
        stored = UserKey(
            account_id=user.account_id,
            access_key_id=key_id,
            user_name=user.name,
            user_id=user.unique_id,
            created_at_ms=now_ms,
            sealed_secret=self._seal.seal_text(secret, purpose=secret_purpose(key_id)),
        )
        return stored, secret

    def session(self, principal: Principal, *, lifetime_s: int) -> AccessKey:
        """Temporary credentials for a principal with a session. Not kept: the token carries them."""
        assert principal.session is not None
        key = AccessKey(
            access_key_id=access_key_id(
                TEMPORARY, principal.account_id, self._entropy.token(KEY_NOISE_BYTES)
            ),
            secret_access_key=base64.b64encode(self._entropy.token(30)).decode(),
            expires_at_ms=EpochMs(principal.session.issued_at_ms + lifetime_s * 1000),
            principal=principal,
        )
        return self._tokens.pack(key)

    def mint(self, function: FunctionVersion, environment_id: EnvironmentId) -> AccessKey:
        """A temporary key of the function's execution role, for one environment. The session is named after
        the function, as on AWS. The key ends when it is revoked, with its environment, and at no time
        of its own: what an environment was started with it keeps, and a machine may sleep meanwhile."""
        role = self._identities.role_by_arn(function.role_arn)
        now_ms = self._clock.now_ms()
        key = AccessKey(
            access_key_id=access_key_id(
                TEMPORARY, function.key.account_id, self._entropy.token(KEY_NOISE_BYTES)
            ),
            secret_access_key=base64.b64encode(self._entropy.token(30)).decode(),
            session_token=base64.b64encode(self._entropy.token(96)).decode(),
            principal=role_session_principal(
                role_arn=function.role_arn,
                session_name=function.key.name,
                role_id=_id_of_none(function.role_arn) if role is None else role.unique_id,
                source_function_arn=function.key.arn(),
                session=Session(name=function.key.name, issued_at_ms=now_ms),
            ),
        )
        self._minted[key.access_key_id] = key
        return key

    def revoke(self, access_key_id: str) -> None:
        """Ends a temporary key that was minted; root keys stay."""
        self._minted.pop(access_key_id, None)


def secret_purpose(access_key_id: str) -> str:
    """What the secret of a user's key is sealed for."""
    return f"access-key:{access_key_id}"


def _id_of_none(role_arn: str) -> str:
    """An id for the session of a role that does not exist: no role ever has it."""
    return "AROA" + base64.b32encode(role_arn.encode()).decode().strip("=")[-17:]
