"""Reads settings from every source; the only reader of the settings file and of SQUIB_* variables."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from squib.config.kinds import did_you_mean
from squib.config.options import BY_NAME, CONFIG_VARIABLE, OPTIONS, Option, Surroundings
from squib.config.settings import Settings, is_loopback
from squib.model.errors import SquibError


class SettingsError(SquibError):
    """A setting that cannot be used; the message names it, where it stands, and what it may be."""


def load(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    surroundings: Surroundings,
    *,
    config: str | None = None,
) -> Settings:
    """Settings from every source. `flags` holds raw strings (or booleans) of the flags given, by option name;
    `config` is the --config flag. An empty variable counts as not set. Raises SettingsError."""
    values = {option.name: option.default_for(surroundings) for option in OPTIONS}
    values |= _from_file(config, environ, surroundings)
    values |= _from_environ(environ)
    for name, raw in flags.items():
        values[name] = _parse(BY_NAME[name], raw, BY_NAME[name].flag)
    _check_together(values)
    return _build(values)


def default_file(surroundings: Surroundings) -> Path:
    """The settings file that is read when none is named."""
    if surroundings.is_root:
        return Path("/etc/squib/squib.toml")
    return surroundings.home / ".config/squib/squib.toml"


def _from_file(
    config: str | None, environ: Mapping[str, str], surroundings: Surroundings
) -> dict[str, object]:
    named = config or environ.get(CONFIG_VARIABLE) or None
    path = Path(named).expanduser() if named else default_file(surroundings)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named:
            raise SettingsError(f"the settings file {path} does not exist") from None
        return {}
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    values = {}
    for key, raw in table.items():
        if key not in BY_NAME:
            raise SettingsError(f"{path}: unknown key {key!r}{did_you_mean(key.replace('-', '_'), BY_NAME)}")
        values[key] = _parse(BY_NAME[key], raw, f"{path}: {key}")
    return values


def _from_environ(environ: Mapping[str, str]) -> dict[str, object]:
    options = {option.variable: option for option in OPTIONS}
    values = {}
    for variable, raw in environ.items():
        if not variable.startswith("SQUIB_") or variable == CONFIG_VARIABLE:
            continue
        if variable not in options:
            near = did_you_mean(variable, (*options, CONFIG_VARIABLE), prefix="SQUIB_")
            raise SettingsError(f"unknown environment variable {variable}{near}")
        if raw:
            values[options[variable].name] = _parse(options[variable], raw, variable)
    return values


def _parse(option: Option, raw: object, where: str) -> object:
    try:
        return option.kind.parse(raw)
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from error


def _check_together(values: Mapping[str, object]) -> None:
    for key_id, secret in (
        ("root_access_key_id", "root_secret_access_key"),
        ("s3_access_key_id", "s3_secret_access_key"),
        ("sns_access_key_id", "sns_secret_access_key"),
        ("events_access_key_id", "events_secret_access_key"),
        ("sqs_access_key_id", "sqs_secret_access_key"),
        ("kinesis_access_key_id", "kinesis_secret_access_key"),
        ("dynamodb_access_key_id", "dynamodb_secret_access_key"),
    ):
        if (values[key_id] is None) != (values[secret] is None):
            missing, given = (key_id, secret) if values[key_id] is None else (secret, key_id)
            raise SettingsError(
                f"{BY_NAME[missing].variable} is missing: {BY_NAME[given].variable} is given, "
                "and one needs the other"
            )
    if (values["oidc_issuer"] is None) != (values["oidc_jwks"] is None):
        missing = "oidc_issuer" if values["oidc_issuer"] is None else "oidc_jwks"
        raise SettingsError(f"{BY_NAME[missing].variable} is missing: oidc_issuer and oidc_jwks go together")
    if values["trust_any_credentials"] and not is_loopback(str(values["host"])):
        raise SettingsError(
            f"--trust-any-credentials is refused with host {values['host']}: anyone who can connect would be "
            "root. Listen on 127.0.0.1, or use real credentials (squib env prints them)."
        )


def _build(values: Mapping[str, object]) -> Settings:
    sections: dict[type[Any], dict[str, Any]] = {}
    for option in OPTIONS:
        sections.setdefault(option.section, {})[option.name] = values[option.name]
    return Settings(**{section.__name__.lower(): section(**fields) for section, fields in sections.items()})
