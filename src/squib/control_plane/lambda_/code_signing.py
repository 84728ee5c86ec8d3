"""Code signing configurations: created, read, changed, listed, deleted; their tags."""

from collections.abc import Mapping
from typing import Any

import msgspec

from squib.clock import Clock, Entropy
from squib.control_plane.lambda_.lookup import not_given
from squib.control_plane.lambda_.pages import page_size, page_start
from squib.control_plane.lambda_.shapes import last_modified
from squib.control_plane.lambda_.tags import Tags, check_tags
from squib.control_plane.pagination import marker
from squib.model.code_signing import (
    CODE_SIGNING_CONFIGS,
    FUNCTION_CODE_SIGNING,
    WARN,
    CodeSigningConfig,
    parse_code_signing_arn,
)
from squib.model.errors import CodeSigningConfigMissing, ResourceConflict
from squib.model.item import ItemKey
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Reader, Store, Transaction

_ID_DIGITS = 17  # hexadecimal, all but one of them random


class CodeSigningService:
    """The operations on configurations themselves."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._configs = store.collection(CODE_SIGNING_CONFIGS)
        self._clock = clock
        self._entropy = entropy

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateCodeSigningConfig": self.create_code_signing_config,
            "GetCodeSigningConfig": self.get_code_signing_config,
            "UpdateCodeSigningConfig": self.update_code_signing_config,
            "DeleteCodeSigningConfig": self.delete_code_signing_config,
            "ListCodeSigningConfigs": self.list_code_signing_configs,
        }

    async def create_code_signing_config(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        tags: Tags = dict(given.get("Tags") or {})
        check_tags(tags)
        name = f"csc-{self._entropy.request_id().replace('-', '')[-_ID_DIGITS:]}"
        config = CodeSigningConfig(
            key=ItemKey(call.account_id, call.region, name),
            description=given.get("Description") or "",
            publishers=given["AllowedPublishers"]["SigningProfileVersionArns"],
            untrusted_artifact=_policy(given) or WARN,
            modified_at_ms=self._clock.now_ms(),
            tags=tags,
        )
        await self._store.write(lambda transaction: transaction.put(CODE_SIGNING_CONFIGS, config.key, config))
        return OperationResult(output={"CodeSigningConfig": _shape(config)}, status=201)

    async def get_code_signing_config(self, call: AuthorizedCall) -> OperationResult:
        return OperationResult(output={"CodeSigningConfig": _shape(config_of(call, self._store.memory))})

    async def update_code_signing_config(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        publishers = (given.get("AllowedPublishers") or {}).get("SigningProfileVersionArns")
        changes = {
            "description": given.get("Description"),
            "publishers": publishers,
            "untrusted_artifact": _policy(given),
        }
        wanted = {name: value for name, value in changes.items() if value is not None}
        if wanted:
            wanted["modified_at_ms"] = self._clock.now_ms()

        def decide(transaction: Transaction) -> CodeSigningConfig:
            config = msgspec.structs.replace(config_of(call, transaction), **wanted)
            transaction.put(CODE_SIGNING_CONFIGS, config.key, config)
            return config

        return OperationResult(output={"CodeSigningConfig": _shape(await self._store.write(decide))})

    async def delete_code_signing_config(self, call: AuthorizedCall) -> OperationResult:
        def decide(transaction: Transaction) -> None:
            config = config_of(call, transaction)
            used = transaction.page(FUNCTION_CODE_SIGNING, config.key.account_id, config.key.region)
            if any(use.config_arn == config.arn for use in used):
                raise ResourceConflict(
                    f"The code signing configuration can not be deleted while functions use it: {config.arn}."
                )
            transaction.delete(CODE_SIGNING_CONFIGS, config.key)

        await self._store.write(decide)
        return OperationResult(output={}, status=204)

    async def list_code_signing_configs(self, call: AuthorizedCall) -> OperationResult:
        start = page_start(call.input.get("Marker"), _After)
        limit = page_size(call.input)
        after = "" if start is None else start.name
        found = self._configs.page(call.account_id, call.region, after=after, limit=limit + 1)
        output: dict[str, Any] = {"CodeSigningConfigs": [_shape(config) for config in found[:limit]]}
        if len(found) > limit:
            output["NextMarker"] = marker(_After(found[limit - 1].key.name))
        return OperationResult(output=output)


class CodeSigningTags:
    """Implements `tags.Tagged` for configurations."""

    def names(self, arn: str) -> bool:
        return parse_code_signing_arn(arn) is not None

    def read(self, call: AuthorizedCall, reader: Reader) -> Tags:
        return config_of(call, reader, call.input["Resource"]).tags

    def write(self, call: AuthorizedCall, transaction: Transaction, tags: Tags, revision_id: str) -> None:
        config = config_of(call, transaction, call.input["Resource"])
        transaction.put(CODE_SIGNING_CONFIGS, config.key, msgspec.structs.replace(config, tags=tags))


def config_of(call: AuthorizedCall, reader: Reader, arn: str | None = None) -> CodeSigningConfig:
    """The configuration of an ARN, or of `CodeSigningConfigArn`. Raises AccessDenied for another account's,
    CodeSigningConfigMissing."""
    arn = arn or call.input["CodeSigningConfigArn"]
    key = parse_code_signing_arn(arn)
    if key is not None and key.account_id != call.account_id:
        raise not_given(call.principal, arn, f"lambda:{call.operation}")
    config = None if key is None or key.region != call.region else reader.get(CODE_SIGNING_CONFIGS, key)
    if config is None:
        raise CodeSigningConfigMissing(arn)
    return config


def _policy(given: Mapping[str, Any]) -> str | None:
    policy: str | None = (given.get("CodeSigningPolicies") or {}).get("UntrustedArtifactOnDeployment")
    return policy


def _shape(config: CodeSigningConfig) -> dict[str, Any]:
    return {
        "CodeSigningConfigId": config.key.name,
        "CodeSigningConfigArn": config.arn,
        "Description": config.description,
        "AllowedPublishers": {"SigningProfileVersionArns": list(config.publishers)},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": config.untrusted_artifact},
        "LastModified": last_modified(config.modified_at_ms),
    }


class _After(msgspec.Struct, frozen=True, tag="code-signing-configs"):
    """A position in ListCodeSigningConfigs."""

    name: str
