"""A running squib, as its command line reaches it: pages, signed with root keys of its data directory."""

import http.client
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from squib.clock import SystemClock
from squib.iam.sigv4_signing import signed_headers
from squib.model.errors import PlatformError
from squib.model.units import AccountId
from squib.store import endpoint
from squib.store.credentials import RootCredentials

T = TypeVar("T")

_SERVICE: Final = "squib"
_TIMEOUT_S: Final = 60.0


class NoAnswer(PlatformError):
    """There is no squib to ask, or it would not say."""


class RunningSquib:
    """The squib that runs on a data directory."""

    def __init__(self, data_dir: Path) -> None:
        """Raises NoAnswer, CredentialsUnreadable."""
        self._data_dir = data_dir
        try:
            running = endpoint.read(data_dir)
            self._credentials = RootCredentials.load(data_dir)
        except FileNotFoundError:
            raise NoAnswer(f"no squib has run on {data_dir} yet; {self._how_to_start()}") from None
        except PermissionError:
            raise NoAnswer(
                f"{data_dir} is closed to this account: use the one that started squib, or sudo"
            ) from None
        if running is None or not running.is_alive():
            raise NoAnswer(f"no squib is running on {data_dir}; {self._how_to_start()}")
        self._running = running

    def accounts(self, wanted: str | None) -> Sequence[AccountId]:
        """The account that is asked for, or every one. Raises NoAnswer when there is no such account."""
        if wanted is None:
            return sorted(self._credentials.keys)
        if wanted not in self._credentials.keys:
            raise NoAnswer(f"there is no account {wanted}")
        return [AccountId(wanted)]

    def ask(self, account_id: AccountId, path: str, answer: type[T], **query: str | None) -> T | None:
        """A page as the root of an account sees it; None when there is none. Raises NoAnswer."""
        status, body = self._get(account_id, path, {k: v for k, v in query.items() if v is not None})
        if status == 200:
            return msgspec.json.decode(body, type=answer)
        if status == 404:
            return None
        try:
            said = msgspec.json.decode(body, type=dict[str, object]).get("message")
        except msgspec.DecodeError:
            said = None
        raise NoAnswer(f"squib answered {status}: {said or 'without a reason'}")

    def _get(self, account_id: AccountId, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        where = urlsplit(self._running.url)
        key = self._credentials.keys[account_id]
        encoded = urlencode(query)
        headers = signed_headers(
            access_key_id=key.access_key_id,
            secret_access_key=key.secret_access_key,
            region=self._running.region,
            service=_SERVICE,
            host=where.netloc,
            path=path,
            query=encoded,
            now_ms=SystemClock().now_ms(),
        )
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_TIMEOUT_S)
        try:
            target = f"{path}?{encoded}" if encoded else path
            connection.request("GET", target, headers={"Host": where.netloc, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError as error:
            raise NoAnswer(f"squib at {self._running.url} does not answer: {error}") from error
        finally:
            connection.close()

    def _how_to_start(self) -> str:
        return f"start it with: squib serve --data-dir {shlex.quote(str(self._data_dir))}"
