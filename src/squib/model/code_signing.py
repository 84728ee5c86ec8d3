"""Code signing configurations: which publishers are trusted, what becomes of packages that none of them
signed, and which functions ask for it.

squib cannot verify signatures of AWS Signer: to it every package is unsigned.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from squib.model.function import FunctionKey
from squib.model.item import ItemKey, Kind
from squib.model.units import AccountId, EpochMs, Region

ENFORCE: Final = "Enforce"
"""`UntrustedArtifactOnDeployment`: packages that no trusted publisher signed are refused."""
WARN: Final = "Warn"
"""They are accepted, and squib's log says so."""

_ARN: Final = re.compile(
    r"arn:aws[a-zA-Z-]*:lambda:([a-z0-9-]+):(\d{12}):code-signing-config:(csc-[a-z0-9]{17})", re.ASCII
)


class CodeSigningConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration."""

    key: ItemKey
    """Its name is `CodeSigningConfigId`."""
    description: str = ""
    publishers: Sequence[str]
    """`SigningProfileVersionArns`."""
    untrusted_artifact: str = WARN
    modified_at_ms: EpochMs
    tags: Mapping[str, str] = {}

    @property
    def arn(self) -> str:
        key = self.key
        return f"arn:aws:lambda:{key.region}:{key.account_id}:code-signing-config:{key.name}"


class FunctionCodeSigning(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration that a function is under, whatever its version."""

    function: FunctionKey
    config_arn: str


CODE_SIGNING_CONFIGS: Final = Kind("code-signing-config", ItemKey, CodeSigningConfig)
FUNCTION_CODE_SIGNING: Final = Kind("function-code-signing", FunctionKey, FunctionCodeSigning)


def parse_code_signing_arn(arn: str) -> ItemKey | None:
    """The configuration that an ARN names; None when it names something else."""
    found = _ARN.fullmatch(arn)
    return None if found is None else ItemKey(AccountId(found[2]), Region(found[1]), found[3])
