"""What a function is: its declared configuration, its code, its states. One struct per version.

`$LATEST` is kept in the function's record (FUNCTIONS), published versions are items of their own (VERSIONS).
Everything here is stored as one JSON document per item (model/item.py), so a new field with a default is a
compatible change.
"""

import hashlib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from squib.model.item import ItemKey, Kind
from squib.model.secret import SecretMap
from squib.model.units import AccountId, ArchiveDigest, EpochMs, Region

LATEST = "$LATEST"


class State(StrEnum):
    """`State` of a function."""

    PENDING = "Pending"  # created, its code is being prepared
    ACTIVE = "Active"  # can be invoked
    INACTIVE = "Inactive"  # reclaimed after long idleness
    FAILED = "Failed"  # cannot run here; the reason says why


class LastUpdateStatus(StrEnum):
    """`LastUpdateStatus` of a function."""

    SUCCESSFUL = "Successful"
    IN_PROGRESS = "InProgress"  # an update is being prepared; invocations use what was active before
    FAILED = "Failed"


class ReasonCode(StrEnum):
    """`StateReasonCode` and `LastUpdateStatusReasonCode`: those of the model that squib gives."""

    CREATING = "Creating"  # code is being prepared, for a new function and for an update
    INVALID_ZIP = "InvalidZipFileException"  # the archive does not unpack
    INVALID_RUNTIME = "InvalidRuntime"  # this machine cannot run it
    INVALID_CONFIGURATION = "InvalidConfiguration"  # such as an architecture this machine is not
    INTERNAL_ERROR = "InternalError"  # our fault; the log has all
    FUNCTION_ERROR = "FunctionError"  # the initialization for a snapshot has failed; so have those below
    INIT_TIMEOUT = "FunctionError.InitTimeout"
    INVALID_ENTRY_POINT = "FunctionError.InvalidEntryPoint"
    INIT_RESOURCE_EXHAUSTED = "FunctionError.InitResourceExhausted"


class FunctionKey(msgspec.Struct, frozen=True, order=True):
    """Names a function within one squib."""

    account_id: AccountId
    region: Region
    name: str

    def arn(self, qualifier: str | None = None) -> str:
        """The function's ARN, with `:qualifier` when one is given."""
        base = f"arn:aws:lambda:{self.region}:{self.account_id}:function:{self.name}"
        return f"{base}:{qualifier}" if qualifier else base


class CodeRef(msgspec.Struct, frozen=True, kw_only=True):
    """The code archive of a version, kept in the blob store under `digest`."""

    digest: ArchiveDigest
    size_bytes: int
    """Of the zip."""
    unzipped_bytes: int = 0
    """Of the files in it."""

    def sha256_base64(self) -> str:
        """`CodeSha256` as the API shows it."""
        import base64

        return base64.b64encode(bytes.fromhex(self.digest)).decode()


class LayerRef(msgspec.Struct, frozen=True, kw_only=True):
    """A layer version that a function uses, whether it can still be found or not."""

    arn: str
    content: CodeRef


class LoggingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`LoggingConfig`: where log lines go and how they look."""

    log_format: str = "Text"
    log_group: str
    application_log_level: str | None = None
    system_log_level: str | None = None


class FunctionVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a function: code and configuration. `$LATEST` is the one that can change."""

    key: FunctionKey
    version: str = LATEST
    created_at_ms: EpochMs
    modified_at_ms: EpochMs
    revision_id: str
    """`RevisionId`: new with every change that the API shows."""
    content_id: str
    """Names this code and configuration: new with every update of them, kept by whatever else changes. A
    published version has that of the `$LATEST` it was made of. With `version` it tells which environments
    may serve an invocation."""
    runtime: str
    handler: str
    role_arn: str
    code: CodeRef
    layers: tuple[LayerRef, ...] = ()
    """In the order in which they are laid over each other."""
    description: str = ""
    timeout_s: int = 3
    memory_mib: int = 128
    ephemeral_mib: int = 512
    environment_variables: SecretMap | None = None
    dead_letter_arn: str | None = None
    """Queue or topic that gets the events that the version has failed to process."""
    architecture: str = "x86_64"
    package_type: str = "Zip"
    tracing_mode: str = "PassThrough"
    """`Active`: see `model.trace`."""
    snap_start: str = "None"
    """`SnapStart.ApplyOn`."""
    snap_start_status: str = "Off"
    """`SnapStart.OptimizationStatus`: `On` where environments of this version start from a snapshot."""
    logging: LoggingConfig
    state: State
    state_reason: str | None = None
    state_reason_code: str | None = None
    last_update_status: LastUpdateStatus | None = None
    last_update_status_reason: str | None = None
    last_update_status_reason_code: str | None = None
    extra: Mapping[str, Any] = {}
    """Wire members that are only echoed, by their wire names."""

    @property
    def arn(self) -> str:
        """Unqualified for `$LATEST`, with the number for a published version."""
        return self.key.arn(None if self.version == LATEST else self.version)

    @property
    def has_snapshot(self) -> bool:
        """Its environments are to start from a snapshot, which is taken when it is published."""
        return self.snap_start != "None" and self.version != LATEST

    @property
    def opt_digest(self) -> ArchiveDigest | None:
        """Names the unpacked tree that shows at /opt: of the only layer, or of several laid over each other
        in this order. None without layers."""
        if len(self.layers) < 2:
            return self.layers[0].content.digest if self.layers else None
        digests = " ".join(layer.content.digest for layer in self.layers)
        return ArchiveDigest(hashlib.sha256(f"layers {digests}".encode()).hexdigest())

    def digests(self) -> Iterator[ArchiveDigest]:
        """Everything that it needs: archives, and the trees made of them."""
        yield self.code.digest
        for layer in self.layers:
            yield layer.content.digest
        if self.layers:
            opt = self.opt_digest
            assert opt is not None
            yield opt


_NOT_CONTENT: Final = frozenset(
    ("version", "created_at_ms", "modified_at_ms", "revision_id", "content_id", "state", "state_reason")
) | {"state_reason_code", "description", "snap_start_status"}


def has_same_content(one: FunctionVersion, other: FunctionVersion) -> bool:
    """Whether two versions of a function have the same code and configuration, descriptions apart."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in FunctionVersion.__struct_fields__
        if name not in _NOT_CONTENT and not name.startswith("last_update_status")
    )


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The version of a function that was published last."""

    number: str
    description: str
    """Of `$LATEST` at that time; the version may have been given another."""


class FunctionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A function as stored: what is declared, and what invocations use while an update is prepared.

    `active` is what runs. It equals `declared` once the activation of `declared` has succeeded; it is None
    before the first activation, and stays at the previous version while an update is InProgress or Failed.
    """

    declared: FunctionVersion
    active: FunctionVersion | None = None
    tags: Mapping[str, str] = {}
    published: Published | None = None
    """The version published last."""

    @property
    def key(self) -> FunctionKey:
        return self.declared.key


class LastNumber(msgspec.Struct, frozen=True):
    """The greatest version number that a function of this name has had. It outlives the function: numbers
    are never used again, not even by a function created anew under the name."""

    number: int


FUNCTIONS: Final = Kind("function", FunctionKey, FunctionRecord)
VERSIONS: Final = Kind("version", ItemKey, FunctionVersion)
LAST_NUMBERS: Final = Kind("last-version-number", FunctionKey, LastNumber)


def version_key(function: FunctionKey, number: str) -> ItemKey:
    """The key of a published version: the number is filled up with spaces, so that names sort as numbers do;
    `007` is another name than `7`."""
    return ItemKey(function.account_id, function.region, f"{function.name}:{number:>10}")
