"""The one table of options. Flags, variables, keys of the settings file, help and docs all come from it."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from squib.config.kinds import DIRECTORIES, DIRECTORY, FILE, Kind, boolean, choice, integer, seconds, text
from squib.config.settings import (
    S3,
    Asynchronous,
    Environments,
    Identity,
    Isolation,
    Logging,
    Runtimes,
    Server,
    Sources,
    Storage,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What defaults depend on."""

    is_root: bool
    home: Path
    prefix: Path

    @staticmethod
    def here() -> "Surroundings":
        """This process's own."""
        return Surroundings(os.geteuid() == 0, Path.home(), Path(sys.prefix))


@dataclass(frozen=True, slots=True)
class Option:
    """One row: everything there is to know about one setting. `name` is its TOML key."""

    name: str
    section: type[Any]
    kind: Kind
    default: object
    """A value, or a function of the Surroundings."""
    help: str
    default_words: str | None = None
    has_flag: bool = True

    @property
    def flag(self) -> str:
        """Its command-line flag, `--data-dir`."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its environment variable, `SQUIB_DATA_DIR`."""
        return "SQUIB_" + self.name.upper()

    @property
    def default_text(self) -> str:
        """The default, in words."""
        if self.default_words is not None:
            return self.default_words
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)

    def default_for(self, surroundings: Surroundings) -> object:
        """The default on this machine."""
        return self.default(surroundings) if callable(self.default) else self.default


def _elsewhere(name: str, what: str, service: str) -> tuple[Option, ...]:
    """Where a service is that squib polls, and with which key."""
    return (
        Option(
            f"{name}_endpoint",
            Sources,
            text(r"https?://[!-~]+", "a URL that begins with http:// or https://"),
            None,
            f"URL of the {service} of event source mappings. {what}, are read there.",
            "none: there are none",
        ),
        Option(
            f"{name}_access_key_id",
            Sources,
            text(r"[!-~]{1,128}", "an access key id"),
            None,
            f"Access key that squib calls {name}_endpoint with; needs {name}_secret_access_key beside it.",
            "none: requests are not signed",
            has_flag=False,
        ),
        Option(
            f"{name}_secret_access_key",
            Sources,
            text(r"[!-~]{1,128}", "a secret key", is_secret=True),
            None,
            f"Secret of {name}_access_key_id.",
            "none",
            has_flag=False,
        ),
    )


CONFIG_VARIABLE: Final = "SQUIB_CONFIG"

OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        "host",
        Server,
        text(r"[0-9A-Za-z_.:%-]+", "a host name or address"),
        "127.0.0.1",
        "Address to listen on. Anything but loopback lets other machines call squib.",
    ),
    Option("port", Server, integer(0, 65_535), 4566, "Port to listen on; 0 takes a free one."),
    Option(
        "metrics_token",
        Server,
        text(r"[!-~]{16,128}", "a token (16 to 128 printable characters, no space)", is_secret=True),
        None,
        "Bearer token with which Prometheus may read /_squib/metrics, of all accounts.",
        "none: metrics are for requests signed by the root of an account, and of that account",
        has_flag=False,
    ),
    Option(
        "function_url_domain",
        Server,
        text(r"[a-z0-9-]+(\.[a-z0-9-]+)*", "a domain name"),
        None,
        "Domain of function URLs, ID.lambda-url.REGION.DOMAIN, whose host names lead to squib.",
        "none: URLs are paths below squib's own address",
    ),
    Option(
        "data_dir",
        Storage,
        DIRECTORY,
        lambda here: Path("/var/lib/squib") if here.is_root else here.home / ".local/share/squib",
        "Directory of everything durable: database, code, logs, credentials. Made when missing.",
        "/var/lib/squib as root, else ~/.local/share/squib",
    ),
    Option(
        "trace_retention_days",
        Storage,
        integer(1, 3_650),
        30,
        "Days for which traces are kept.",
    ),
    Option(
        "trace_storage",
        Storage,
        integer(1, 1_048_576),
        256,
        "MiB of traces that are kept; the oldest make room for new ones.",
    ),
    Option(
        "account_id",
        Identity,
        text(r"[0-9]{12}", "an account id, a string of 12 digits"),
        "000000000000",
        "Account that the first start creates and that root credentials belong to.",
    ),
    Option(
        "region",
        Identity,
        text(r"[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}", "a region name such as eu-west-1"),
        "us-east-1",
        "Region that `squib env` prints. Every region is served.",
    ),
    Option(
        "root_access_key_id",
        Identity,
        text(r"[A-Za-z0-9_]{16,128}", "an access key id (16 to 128 letters, digits, underscores)"),
        None,
        "Access key id of the account's root; needs root_secret_access_key beside it.",
        "a random key, made at the first start",
        has_flag=False,
    ),
    Option(
        "root_secret_access_key",
        Identity,
        text(r"[!-~]{16,128}", "a secret key (16 to 128 printable characters, no space)", is_secret=True),
        None,
        "Secret of root_access_key_id.",
        "random",
        has_flag=False,
    ),
    Option(
        "trust_any_credentials",
        Identity,
        boolean(),
        False,
        "Believe any access key without checking signatures: a 12-digit key is that account's root, any "
        "other the root of account_id. Only on a loopback host.",
    ),
    Option(
        "organization",
        Identity,
        FILE,
        None,
        "JSON file of an organization's service and resource control policies: see docs/organization.md.",
        "none: accounts are bounded by nothing",
    ),
    Option(
        "oidc_issuer",
        Identity,
        text(r"https?://[^\s?#]+", "the URL of an OpenID Connect issuer"),
        None,
        "Issuer whose tokens AssumeRoleWithWebIdentity takes; needs oidc_jwks. Trust policies name it as "
        "arn:aws:iam::ACCOUNT:oidc-provider/HOST/PATH.",
        "none",
    ),
    Option(
        "oidc_jwks",
        Identity,
        text(
            r"https://\S+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?(/\S*)?|/\S.*",
            "an https URL (http on loopback) or the full path of a file",
        ),
        None,
        "Where the public keys of oidc_issuer are (JWKS): a URL, or a file that squib's account can read.",
        "none",
    ),
    Option(
        "oidc_audience",
        Identity,
        text(r"\S{1,255}", "an audience"),
        "sts.amazonaws.com",
        "Audience (aud) that tokens of oidc_issuer must have.",
    ),
    Option(
        "s3_endpoint",
        S3,
        text(r"https?://[!-~]+", "a URL that begins with http:// or https://"),
        None,
        "URL of the S3 that code and layers are read from, for calls that name S3Bucket and S3Key, and that "
        "destinations in it are written to.",
        "none: such calls are refused, and deliveries fail",
    ),
    Option(
        "s3_access_key_id",
        S3,
        text(r"[!-~]{1,128}", "an access key id"),
        None,
        "Access key that squib reads from s3_endpoint with; needs s3_secret_access_key beside it.",
        "none: requests are not signed",
        has_flag=False,
    ),
    Option(
        "s3_secret_access_key",
        S3,
        text(r"[!-~]{1,128}", "a secret key", is_secret=True),
        None,
        "Secret of s3_access_key_id.",
        "none",
        has_flag=False,
    ),
    Option(
        "async_retry_delays",
        Asynchronous,
        seconds(2, 3_600),
        (60.0, 120.0),
        "Seconds after which an event is run again when its function has failed once, and twice. Lambda's "
        "own by default; shorter for tests.",
        "60,120",
    ),
    Option(
        "sns_endpoint",
        Asynchronous,
        text(r"https?://[!-~]+", "a URL that begins with http:// or https://"),
        None,
        "URL of the SNS that destinations in it are reached at.",
        "none: deliveries to it fail, visibly",
    ),
    Option(
        "sns_access_key_id",
        Asynchronous,
        text(r"[!-~]{1,128}", "an access key id"),
        None,
        "Access key that squib calls sns_endpoint with; needs sns_secret_access_key beside it.",
        "none: requests are not signed",
        has_flag=False,
    ),
    Option(
        "sns_secret_access_key",
        Asynchronous,
        text(r"[!-~]{1,128}", "a secret key", is_secret=True),
        None,
        "Secret of sns_access_key_id.",
        "none",
        has_flag=False,
    ),
    Option(
        "events_endpoint",
        Asynchronous,
        text(r"https?://[!-~]+", "a URL that begins with http:// or https://"),
        None,
        "URL of the EventBridge that destinations in it are reached at.",
        "none: deliveries to it fail, visibly",
    ),
    Option(
        "events_access_key_id",
        Asynchronous,
        text(r"[!-~]{1,128}", "an access key id"),
        None,
        "Access key that squib calls events_endpoint with; needs events_secret_access_key beside it.",
        "none: requests are not signed",
        has_flag=False,
    ),
    Option(
        "events_secret_access_key",
        Asynchronous,
        text(r"[!-~]{1,128}", "a secret key", is_secret=True),
        None,
        "Secret of events_access_key_id.",
        "none",
        has_flag=False,
    ),
    Option(
        "accounts_elsewhere",
        Sources,
        FILE,
        None,
        "TOML file of services elsewhere and keys for them, by account: see docs/elsewhere.md. Options such "
        "as sqs_endpoint are for account_id alone.",
        "none: other accounts have nothing elsewhere",
    ),
    *_elsewhere("sqs", "Queues that feed functions, where squib has none of that name", "SQS"),
    *_elsewhere("kinesis", "Kinesis streams that feed functions", "Kinesis"),
    *_elsewhere("dynamodb", "DynamoDB streams that feed functions", "DynamoDB Streams"),
    Option(
        "user",
        Isolation,
        text(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,63}\$?", "an account name or numeric uid"),
        None,
        "Account that squib drops to when started as root; `root` keeps root, against advice.",
        "`squib` if that account exists, else an unprivileged uid",
    ),
    Option(
        "isolation",
        Isolation,
        choice("auto", "sandbox", "plain"),
        "auto",
        "How functions are kept apart: sandbox (namespaces, cgroups, seccomp), plain (bare processes: no "
        "isolation), auto (the best this machine allows).",
    ),
    Option(
        "function_network",
        Isolation,
        choice("auto", "outside", "none"),
        "auto",
        "What functions reach besides squib itself: outside (the network outside this machine), none, auto "
        "(outside where it can be set up).",
    ),
    Option(
        "cpu",
        Isolation,
        choice("shares", "quota"),
        "shares",
        "shares: a weight by memory size, idle CPU is free for all; quota: Lambda's own share of a core, a "
        "whole one at 1769 MB.",
    ),
    Option(
        "max_environments",
        Environments,
        integer(1, 10_000),
        1_000,
        "Most execution environments at a time, over all functions.",
    ),
    Option(
        "memory_budget",
        Environments,
        integer(0, 16_777_216),
        0,
        "MiB that all execution environments together may hold; when that is not enough, idle ones end, the "
        "least recently used first. 0: no limit. Needs cgroups.",
    ),
    Option(
        "idle_expiry_s",
        Environments,
        integer(1, 86_400),
        900,
        "Seconds after which an idle execution environment is removed.",
    ),
    Option(
        "freeze_after_ms",
        Environments,
        integer(0, 60_000),
        10,
        "Milliseconds after an answer until the idle execution environment is frozen.",
    ),
    Option(
        "runtime_dir",
        Runtimes,
        DIRECTORY,
        lambda here: here.prefix / "share/squib/runtimes",
        "Directory that `squib runtimes install` puts runtime interface clients into.",
        "share/squib/runtimes in squib's own environment",
    ),
    Option(
        "runtime_path",
        Runtimes,
        DIRECTORIES,
        (),
        "More directories to look for interpreters in, before the usual places.",
        "none",
    ),
    Option(
        "drain_timeout_s",
        Server,
        integer(0, 3_600),
        30,
        "Seconds that running invocations get to finish after SIGTERM.",
    ),
    Option("log_level", Logging, choice("debug", "info", "warning", "error"), "info", "Least level to log."),
    Option("log_format", Logging, choice("text", "json"), "text", "Form of squib's own log lines."),
)

BY_NAME: Final[Mapping[str, Option]] = {option.name: option for option in OPTIONS}
