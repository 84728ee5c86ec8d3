"""The managed policies that AWS publishes, as far as squib carries them: read once from a file of the
package.

Documents, paths, versions and dates are AWS's. Their unique ids are made from their names: AWS's own are not
in the file.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from squib.iam.unique_ids import NOISE_BYTES, entity_id
from squib.model.managed_policy import AWS_ACCOUNT, ManagedPolicy, PolicyVersion
from squib.model.units import EpochMs

FILE_NAME: Final = "aws_managed_policies.json"


class _Published(msgspec.Struct, frozen=True):
    path: str
    version: str
    created: datetime
    updated: datetime
    document: msgspec.Raw


class _File(msgspec.Struct, frozen=True):
    source: str
    policies: dict[str, _Published]


@cache
def aws_policies() -> Mapping[str, ManagedPolicy]:
    """By ARN. The first call reads the file (a few milliseconds)."""
    file = msgspec.json.decode(files("squib.store").joinpath(FILE_NAME).read_bytes(), type=_File)
    policies = [_policy(name, published) for name, published in file.policies.items()]
    return {policy.arn: policy for policy in policies}


def _policy(name: str, published: _Published) -> ManagedPolicy:
    number = int(published.version[1:])
    updated_at_ms = _epoch_ms(published.updated)
    return ManagedPolicy(
        account_id=AWS_ACCOUNT,
        name=name,
        path=published.path,
        unique_id=entity_id("ANPA", hashlib.sha256(name.encode()).digest()[:NOISE_BYTES]),
        created_at_ms=_epoch_ms(published.created),
        updated_at_ms=updated_at_ms,
        versions=(
            PolicyVersion(
                number=number, document=bytes(published.document).decode(), created_at_ms=updated_at_ms
            ),
        ),
        default_number=number,
        last_number=number,
    )


def _epoch_ms(moment: datetime) -> EpochMs:
    return EpochMs(int(moment.timestamp()) * 1000)
