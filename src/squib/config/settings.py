"""Settings as values: checked, frozen, one dataclass per section. Nothing here reads anything."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from squib.model.units import AccountId, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where squib listens and how it stops."""

    host: str
    port: int
    """0 takes a free port."""
    drain_timeout_s: int
    function_url_domain: str | None
    """What ends the host names of function URLs; None: they are given by path."""
    metrics_token: str | None = field(repr=False)
    """What a scraper bears; None: only the roots of accounts read metrics."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where durable truth lies."""

    data_dir: Path
    trace_retention_days: int
    trace_storage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The first account, and who is believed to be it."""

    account_id: AccountId
    region: Region
    root_access_key_id: str | None
    root_secret_access_key: str | None = field(repr=False)
    trust_any_credentials: bool
    organization: Path | None
    oidc_issuer: str | None
    oidc_jwks: str | None
    oidc_audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class S3:
    """Where code in S3 is read from."""

    s3_endpoint: str | None
    s3_access_key_id: str | None
    s3_secret_access_key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asynchronous:
    """When events are tried again, and services that take their outcomes."""

    async_retry_delays: tuple[float, ...]
    """Seconds after the first failure of a function, and after the second."""
    sns_endpoint: str | None
    sns_access_key_id: str | None
    sns_secret_access_key: str | None = field(repr=False)
    events_endpoint: str | None
    events_access_key_id: str | None
    events_secret_access_key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where queues and streams are that feed functions and are not squib's own."""

    accounts_elsewhere: Path | None
    """The file of what other accounts have elsewhere."""
    sqs_endpoint: str | None
    sqs_access_key_id: str | None
    sqs_secret_access_key: str | None = field(repr=False)
    kinesis_endpoint: str | None
    kinesis_access_key_id: str | None
    kinesis_secret_access_key: str | None = field(repr=False)
    dynamodb_endpoint: str | None
    dynamodb_access_key_id: str | None
    dynamodb_secret_access_key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What stands between a function and this machine."""

    user: str | None
    """The account to drop to; None: `squib` where it exists, else an unprivileged uid."""
    isolation: str
    """auto | sandbox | plain."""
    function_network: str
    """auto | outside | none."""
    cpu: str
    """shares | quota."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environments:
    """How many execution environments there are and how long they stay."""

    max_environments: int
    memory_budget: int
    idle_expiry_s: int
    freeze_after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtimes:
    """Where interpreters and the installed runtime interface clients are."""

    runtime_dir: Path
    runtime_path: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """squib's own log, on stderr."""

    log_level: str
    log_format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, checked."""

    server: Server
    storage: Storage
    identity: Identity
    s3: S3
    asynchronous: Asynchronous
    sources: Sources
    isolation: Isolation
    environments: Environments
    runtimes: Runtimes
    logging: Logging


def is_loopback(host: str) -> bool:
    """Whether listening on `host` can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
