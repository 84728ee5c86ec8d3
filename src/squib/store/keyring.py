"""Every access key that may sign now, in memory: root keys from the data directory, and the temporary keys of
live environments, which end with their environment and are never stored."""

import base64
from collections.abc import Mapping

from squib.clock import Clock, Entropy
from squib.model.function import FunctionVersion
from squib.model.identity import AccessKey, role_session_principal
from squib.model.units import AccountId, EnvironmentId, EpochMs

SESSION_LIFETIME_MS = 12 * 3600 * 1000  # the longest a role session may last, AssumeRole reference


class KeyRing:
    """Finds, mints and revokes keys. One owner: the event loop."""

    def __init__(self, root_keys: Mapping[AccountId, AccessKey], clock: Clock, entropy: Entropy) -> None:
        self._clock, self._entropy = clock, entropy
        self._keys = {key.access_key_id: key for key in root_keys.values()}

    def find(self, access_key_id: str) -> AccessKey | None:
        """The key of that id; None when there is none (any more)."""
        return self._keys.get(access_key_id)

    def mint(self, function: FunctionVersion, environment_id: EnvironmentId) -> AccessKey:
        """A temporary key of the function's execution role, for one environment. The session is named after
        the function, as on AWS."""
        name = base64.b32encode(self._entropy.token(10)).decode()
        role_id = "AROA" + base64.b32encode(function.role_arn.encode()).decode().strip("=")[-17:]
        key = AccessKey(
            access_key_id=f"ASIA{name}",
            secret_access_key=base64.b64encode(self._entropy.token(30)).decode(),
            session_token=base64.b64encode(self._entropy.token(96)).decode(),
            expires_at_ms=EpochMs(self._clock.now_ms() + SESSION_LIFETIME_MS),
            principal=role_session_principal(
                role_arn=function.role_arn,
                session_name=function.key.name,
                role_id=role_id,
                source_function_arn=function.key.arn(),
            ),
        )
        self._keys[key.access_key_id] = key
        return key

    def revoke(self, access_key_id: str) -> None:
        """Ends a temporary key; root keys stay."""
        key = self._keys.get(access_key_id)
        if key is not None and key.session_token is not None:
            del self._keys[access_key_id]
