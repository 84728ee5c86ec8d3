"""Layers: versions published, read, listed and deleted."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from squib.clock import Clock
from squib.control_plane.lambda_.code import CodeLocations
from squib.control_plane.lambda_.code_source import archive_of
from squib.control_plane.lambda_.layer_lookup import layer_of, readable_version, version_number
from squib.control_plane.lambda_.pages import page_start
from squib.control_plane.lambda_.s3 import S3Objects
from squib.control_plane.lambda_.shapes import last_modified
from squib.control_plane.lambda_.usage import CodeUsage
from squib.control_plane.pagination import marker
from squib.model.archive import check_archive
from squib.model.errors import ValidationException
from squib.model.function import CodeRef
from squib.model.layer import LAYER_VERSIONS, LAYERS, Layer, LayerKey, LayerVersion
from squib.model.limits import MAX_LAYERS_PER_PAGE
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.model.runtime import NAMED_IN_ERRORS, NAMED_IN_LAYER_FILTERS, is_known
from squib.store.base import Store, Transaction

_ARCHITECTURES = ("x86_64", "arm64")


class LayerService:
    """The operations on layers and their versions, but for policies."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        code_locations: CodeLocations,
        objects: S3Objects,
        usage: CodeUsage,
    ) -> None:
        self._store = store
        self._layers = store.collection(LAYERS)
        self._versions = store.collection(LAYER_VERSIONS)
        self._clock = clock
        self._code_locations = code_locations
        self._objects = objects
        self._usage = usage

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PublishLayerVersion": self.publish_layer_version,
            "GetLayerVersion": self.get_layer_version,
            "GetLayerVersionByArn": self.get_layer_version,
            "ListLayers": self.list_layers,
            "ListLayerVersions": self.list_layer_versions,
            "DeleteLayerVersion": self.delete_layer_version,
        }

    async def publish_layer_version(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        _check_compatibilities(given.get("CompatibleRuntimes"), given.get("CompatibleArchitectures"))
        key = layer_of(call)
        content = await archive_of(call, given["Content"], self._objects)
        plan = await asyncio.to_thread(check_archive, content)
        self._usage.check(call.account_id, call.region, len(content))
        code = CodeRef(
            digest=await self._store.blobs.put(content),
            size_bytes=len(content),
            unzipped_bytes=plan.unzipped_bytes,
        )
        now_ms = self._clock.now_ms()

        def decide(transaction: Transaction) -> LayerVersion:
            layer = transaction.get(LAYERS, key)
            number = 1 if layer is None else layer.last_number + 1
            version = LayerVersion(
                layer=key,
                number=number,
                created_at_ms=now_ms,
                content=code,
                description=given.get("Description") or "",
                license_info=given.get("LicenseInfo"),
                runtimes=given.get("CompatibleRuntimes"),
                architectures=given.get("CompatibleArchitectures"),
            )
            transaction.put(LAYERS, key, Layer(key=key, last_number=number))
            transaction.put(LAYER_VERSIONS, version.key, version)
            return version

        version = await self._store.write(decide)
        return OperationResult(output=self._whole(call, version), status=201)

    async def get_layer_version(self, call: AuthorizedCall) -> OperationResult:
        return OperationResult(output=self._whole(call, readable_version(call, self._versions)))

    async def list_layers(self, call: AuthorizedCall) -> OperationResult:
        """By name, each with the newest of its versions that match; layers without one are left out."""
        matches = _filter(call.input)
        limit = call.input.get("MaxItems") or MAX_LAYERS_PER_PAGE
        start = page_start(call.input.get("Marker"), _AfterLayer)
        after = "" if start is None else start.name
        shown: list[dict[str, Any]] = []
        output: dict[str, Any] = {"Layers": shown}
        for layer in self._layers.page(call.account_id, call.region, after=after):
            latest = next((version for version in self._newest_first(layer.key) if matches(version)), None)
            if latest is None:
                continue
            if len(shown) == limit:
                output["NextMarker"] = marker(_AfterLayer(shown[-1]["LayerName"]))
                break
            shown.append(
                {
                    "LayerName": layer.key.name,
                    "LayerArn": layer.key.arn,
                    "LatestMatchingVersion": _item(latest),
                }
            )
        return OperationResult(output=output)

    async def list_layer_versions(self, call: AuthorizedCall) -> OperationResult:
        """Newest first. A layer that does not exist has none."""
        matches = _filter(call.input)
        limit = call.input.get("MaxItems") or MAX_LAYERS_PER_PAGE
        before = page_start(call.input.get("Marker"), _BeforeVersion)
        found = [
            version
            for version in self._newest_first(layer_of(call))
            if matches(version) and (before is None or version.number < before.number)
        ]
        output: dict[str, Any] = {"LayerVersions": [_item(version) for version in found[:limit]]}
        if len(found) > limit:
            output["NextMarker"] = marker(_BeforeVersion(found[limit - 1].number))
        return OperationResult(output=output)

    async def delete_layer_version(self, call: AuthorizedCall) -> OperationResult:
        """Functions that use the version go on with it. One that does not exist is deleted already."""
        number = version_number(call)
        key = layer_of(call).version(number)
        await self._store.write(lambda transaction: transaction.delete(LAYER_VERSIONS, key))
        return OperationResult(output={}, status=204)

    def _newest_first(self, layer: LayerKey) -> list[LayerVersion]:
        versions = self._versions.page(layer.account_id, layer.region, prefix=layer.versions_prefix)
        return list(reversed(versions))

    def _whole(self, call: AuthorizedCall, version: LayerVersion) -> dict[str, Any]:
        return {
            "Content": {
                "Location": self._code_locations.url(call.base_url, version.content.digest),
                "CodeSha256": version.content.sha256_base64(),
                "CodeSize": version.content.size_bytes,
            },
            "LayerArn": version.layer.arn,
            **_item(version),
        }


def _item(version: LayerVersion) -> dict[str, Any]:
    """`LayerVersionsListItem`."""
    shape: dict[str, Any] = {
        "LayerVersionArn": version.arn,
        "Version": version.number,
        "Description": version.description,
        "CreatedDate": last_modified(version.created_at_ms),
    }
    optional = {
        "CompatibleRuntimes": version.runtimes,
        "CompatibleArchitectures": version.architectures,
        "LicenseInfo": version.license_info,
    }
    shape.update((name, value) for name, value in optional.items() if value is not None)
    return shape


def _check_compatibilities(runtimes: list[str] | None, architectures: list[str] | None) -> None:
    """Recorded: both are told in one message, the runtimes first, and of these only those that functions may
    still be created with."""
    found = []
    if not all(map(is_known, runtimes or ())):
        found.append(
            f"Value '[{', '.join(runtimes or ())}]' at 'compatibleRuntimes' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{NAMED_IN_ERRORS}]"
        )
    if not all(architecture in _ARCHITECTURES for architecture in architectures or ()):
        found.append(
            f"Value '[{', '.join(architectures or ())}]' at 'compatibleArchitectures' failed to satisfy "
            "constraint: Member must satisfy constraint: [Member must satisfy enum value set: "
            f"[{', '.join(_ARCHITECTURES)}], Member must not be null]"
        )
    if found:
        plural = "" if len(found) == 1 else "s"
        raise ValidationException(f"{len(found)} validation error{plural} detected: {'; '.join(found)}")


def _filter(given: Mapping[str, Any]) -> Callable[[LayerVersion], bool]:
    runtime, architecture = given.get("CompatibleRuntime"), given.get("CompatibleArchitecture")
    if runtime is not None and not is_known(runtime):
        raise ValidationException(
            f"1 validation error detected: Value '{runtime}' at 'compatibleRuntime' failed to satisfy "
            f"constraint: Member must satisfy enum value set: [{NAMED_IN_LAYER_FILTERS}]"
        )
    return lambda version: version.is_compatible(runtime=runtime, architecture=architecture)


class _AfterLayer(msgspec.Struct, frozen=True, tag="layers"):
    """A position in ListLayers."""

    name: str


class _BeforeVersion(msgspec.Struct, frozen=True, tag="layer-versions"):
    """A position in ListLayerVersions, which counts down."""

    number: int
