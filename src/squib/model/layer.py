"""What a layer is: its numbered versions, and who else may use each.

A function keeps of a layer version what it needs to go on without it (`function.LayerRef`): a version that is
deleted is no longer found, but still used.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from squib.model.function import CodeRef, LayerRef
from squib.model.item import ItemKey, Kind
from squib.model.units import AccountId, EpochMs, Region

GET_LAYER_VERSION: Final = "lambda:GetLayerVersion"
"""The one action that the policy of a layer version may allow."""

_ARN: Final = re.compile(
    r"arn:aws[a-zA-Z-]*:lambda:([a-z0-9-]+):(\d{12}):layer:([a-zA-Z0-9-_]+)(?::([0-9]+))?", re.ASCII
)


class LayerKey(msgspec.Struct, frozen=True, order=True):
    """Names a layer within one squib."""

    account_id: AccountId
    region: Region
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account_id}:layer:{self.name}"

    def version(self, number: int) -> ItemKey:
        """The key of a version: `NAME:000000000003`, so that names sort as numbers do."""
        return ItemKey(self.account_id, self.region, f"{self.versions_prefix}{number:012d}")

    @property
    def versions_prefix(self) -> str:
        """What the names of all its versions begin with."""
        return f"{self.name}:"


class Layer(msgspec.Struct, frozen=True):
    """A layer's name in use. It outlives the layer's versions: their numbers are never used again."""

    key: LayerKey
    last_number: int


class LayerStatement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of a layer version's policy."""

    statement_id: str
    principal: str
    """An account, the ARN of an account's root, or `*`."""
    organization_id: str | None = None

    def allows(self, account_id: AccountId) -> bool:
        """Whether it lets the account use the version. squib knows no organizations: a statement that asks
        for one lets nobody."""
        if self.organization_id is not None:
            return False
        return self.principal in ("*", account_id) or self.principal.endswith(f"::{account_id}:root")

    def document(self, resource: str) -> Mapping[str, Any]:
        """The statement as a policy has it."""
        principal: Any = self.principal
        if principal != "*":
            is_arn = principal.startswith("arn:")
            principal = {"AWS": principal if is_arn else f"arn:aws:iam::{principal}:root"}
        document = {
            "Sid": self.statement_id,
            "Effect": "Allow",
            "Principal": principal,
            "Action": GET_LAYER_VERSION,
            "Resource": resource,
        }
        if self.organization_id is not None:
            document["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": self.organization_id}}
        return document


class LayerVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a layer; nothing of it ever changes but its policy."""

    layer: LayerKey
    number: int
    created_at_ms: EpochMs
    content: CodeRef
    description: str = ""
    license_info: str | None = None
    runtimes: Sequence[str] | None = None
    """`CompatibleRuntimes` as given; None: not given."""
    architectures: Sequence[str] | None = None
    statements: Sequence[LayerStatement] = ()
    policy_revision_id: str = ""

    @property
    def key(self) -> ItemKey:
        return self.layer.version(self.number)

    @property
    def arn(self) -> str:
        return f"{self.layer.arn}:{self.number}"

    @property
    def reference(self) -> LayerRef:
        """What a function that uses it keeps."""
        return LayerRef(arn=self.arn, content=self.content)

    def is_compatible(self, *, runtime: str | None, architecture: str | None) -> bool:
        """Whether it names the runtime and the architecture, where such are asked for."""
        return (runtime is None or runtime in (self.runtimes or ())) and (
            architecture is None or architecture in (self.architectures or ())
        )

    def may_be_used_by(self, account_id: AccountId) -> bool:
        """Its own account may, and whom its policy lets."""
        return account_id == self.layer.account_id or any(
            statement.allows(account_id) for statement in self.statements
        )

    def policy(self) -> str:
        """Its policy as text."""
        statements = [statement.document(self.arn) for statement in self.statements]
        document = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
        return json.dumps(document, separators=(",", ":"))


LAYERS: Final = Kind("layer", LayerKey, Layer)
LAYER_VERSIONS: Final = Kind("layer-version", ItemKey, LayerVersion)


def parse_layer_arn(arn: str) -> tuple[LayerKey, int | None] | None:
    """The layer of an ARN and the version's number, if that is part of it; None: it names something else."""
    found = _ARN.fullmatch(arn)
    if found is None:
        return None
    number = None if found[4] is None else int(found[4])
    return LayerKey(AccountId(found[2]), Region(found[1]), found[3]), number
