"""Where services are that squib does not have itself, and with which keys, account by account.

The options are the first account's, a file has the others'. docs/elsewhere.md shows the file.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from squib.config.kinds import did_you_mean
from squib.config.load import SettingsError
from squib.config.settings import Settings
from squib.control_plane.lambda_.s3 import S3Options
from squib.invoke.upstream import Elsewhere, UpstreamOptions
from squib.model.units import AccountId

SERVICES: Final = ("sqs", "kinesis", "dynamodb", "sns", "events", "s3")
_KEYS: Final = ("endpoint", "access_key_id", "secret_access_key", "session_token")
_OF_EVERYBODY: Final = 0o007
_SDK_NAMES: Final = {"dynamodb": "dynamodbstreams"}


def elsewhere(settings: Settings) -> Elsewhere:
    """All of them, by account, and by service as AWS's SDK names it. Raises SettingsError."""
    found: dict[AccountId, dict[str, UpstreamOptions]] = {}
    path = settings.sources.accounts_elsewhere
    if path is not None:
        for account_id, services in _read(path).items():
            found[account_id] = {_SDK_NAMES.get(name, name): one for name, one in services.items()}
    first = found.setdefault(settings.identity.account_id, {})
    for name, options in _of_options(settings).items():
        sdk_name = _SDK_NAMES.get(name, name)
        if options.endpoint is not None and sdk_name in first:
            raise SettingsError(
                f"{path}: {name} of account {settings.identity.account_id} is given there and as "
                f"--{name}-endpoint: give it once"
            )
        if options.endpoint is not None:
            first[sdk_name] = options
    return found


def s3_options(settings: Settings) -> S3Options:
    """Where code and layers are read from."""
    given = settings.s3
    return S3Options(
        endpoint=given.s3_endpoint,
        access_key_id=given.s3_access_key_id,
        secret_access_key=given.s3_secret_access_key,
    )


def _of_options(settings: Settings) -> Mapping[str, UpstreamOptions]:
    values = {
        name: value
        for section in (settings.sources, settings.asynchronous, settings.s3)
        for name, value in ((field, getattr(section, field)) for field in section.__dataclass_fields__)
    }
    return {
        service: UpstreamOptions(
            endpoint=values[f"{service}_endpoint"],
            access_key_id=values[f"{service}_access_key_id"],
            secret_access_key=values[f"{service}_secret_access_key"],
        )
        for service in SERVICES
    }


def _read(path: Path) -> Mapping[AccountId, Mapping[str, UpstreamOptions]]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"can't read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    found: dict[AccountId, dict[str, UpstreamOptions]] = {}
    for account_id, services in table.items():
        if not re.fullmatch(r"[0-9]{12}", account_id) or not isinstance(services, dict):
            raise SettingsError(f"{path}: {account_id!r} is not a table of an account, such as 123456789012")
        of_account = found[AccountId(account_id)] = {}
        for name, given in services.items():
            if name not in SERVICES:
                near = did_you_mean(name, SERVICES) or f"; it may be one of {', '.join(SERVICES)}"
                raise SettingsError(f"{path}: {account_id}.{name} is no service{near}")
            of_account[name] = _options(f"{path}: {account_id}.{name}", given)
    has_keys = any(one.secret_access_key for services in found.values() for one in services.values())
    if has_keys and path.stat().st_mode & _OF_EVERYBODY:
        raise SettingsError(f"{path} holds secret keys and everybody may read or write it: chmod 600 {path}")
    return found


def _options(where: str, given: Any) -> UpstreamOptions:
    """What is wrong is said by name, never by value."""
    if not isinstance(given, dict):
        raise SettingsError(f"{where} is not a table")
    for key, value in given.items():
        if key not in _KEYS:
            raise SettingsError(f"{where}: unknown key {key!r}{did_you_mean(key, _KEYS)}")
        if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
            raise SettingsError(f"{where}.{key} is not a string of printable characters without spaces")
    if not re.match(r"https?://", given.get("endpoint", "")):
        raise SettingsError(f"{where}.endpoint is not a URL that begins with http:// or https://")
    if ("access_key_id" in given) != ("secret_access_key" in given):
        raise SettingsError(f"{where} needs access_key_id and secret_access_key together")
    if "session_token" in given and "access_key_id" not in given:
        raise SettingsError(f"{where}.session_token needs access_key_id beside it")
    return UpstreamOptions(**given)
