"""Functions created and updated: validated, their archive stored, then declared in one transaction.

What is declared here becomes active elsewhere; the answer says Pending or InProgress until then.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from squib.clock import Clock, Entropy
from squib.control_plane.lambda_ import parameters
from squib.control_plane.lambda_.attached_layers import attached, check_size
from squib.control_plane.lambda_.code_source import archive_of
from squib.control_plane.lambda_.function_code_signing import check_exists, check_unsigned, use
from squib.control_plane.lambda_.lookup import check_changeable, record_of, reference_of, unqualified
from squib.control_plane.lambda_.publishing import BEING_CREATED, publish, unchanged_version
from squib.control_plane.lambda_.s3 import S3Objects
from squib.control_plane.lambda_.shapes import configuration
from squib.control_plane.lambda_.tags import check_tags
from squib.control_plane.lambda_.usage import CodeUsage
from squib.model.archive import ArchivePlan, check_archive
from squib.model.arn import FunctionReference
from squib.model.errors import InvalidParameterValue, ResourceConflict
from squib.model.function import (
    FUNCTIONS,
    CodeRef,
    FunctionKey,
    FunctionRecord,
    FunctionVersion,
    LastUpdateStatus,
    LoggingConfig,
    ReasonCode,
    State,
)
from squib.model.limits import MAX_FUNCTION_NAME_LENGTH
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.model.runtime import check_snap_start
from squib.model.trace import ACTIVE
from squib.model.units import ArchiveDigest
from squib.store.base import Store, Transaction

_CREATE: Final = (
    parameters.CONFIGURATION
    | {"FunctionName", "Code", "Tags", "Architectures", "Layers"}
    | {"CodeSigningConfigArn", "Publish"}
)
_UPDATE_CODE: Final = frozenset(
    ("FunctionName", "ZipFile", "ImageUri", "Architectures", "RevisionId", "DryRun", "Publish")
) | {"S3Bucket", "S3Key", "S3ObjectVersion", "S3ObjectStorageMode"}
_UPDATE_CONFIGURATION: Final = parameters.CONFIGURATION | {"FunctionName", "RevisionId", "Layers"}
_CODE_SOURCES: Final = ("ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion", "S3ObjectStorageMode")


class ChangeService:
    """The operations that declare."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        objects: S3Objects,
        usage: CodeUsage,
        trusts_lambda: Callable[[str], bool],
        may: Callable[[str, str, str, str], bool],
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._objects = objects
        self._usage = usage
        self._trusts_lambda = trusts_lambda
        self._may = may

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateFunction": self.create_function,
            "UpdateFunctionCode": self.update_function_code,
            "UpdateFunctionConfiguration": self.update_function_configuration,
        }

    async def create_function(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        reference = unqualified(reference_of(call))
        key = reference.key
        _check_name(key.name)
        parameters.refuse_unsupported(call.operation, given, handled=_CREATE)
        if not given.get("Runtime") or not given.get("Handler"):
            raise InvalidParameterValue(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            )
        fields = {
            **parameters.fields(given, account_id=call.account_id),
            **parameters.architecture(given),
            "logging": parameters.logging_config(
                given.get("LoggingConfig") or {}, LoggingConfig(log_group=f"/aws/lambda/{key.name}")
            ),
        }
        check_snap_start(fields.get("snap_start", "None"), fields["runtime"], fields.get("ephemeral_mib", 0))
        self._check_role(fields)
        self._check_dead_letters(key, fields["role_arn"], fields.get("dead_letter_arn"))
        self._check_tracing(key, fields["role_arn"], fields.get("tracing_mode"))
        tags: Mapping[str, str] = dict(given.get("Tags") or {})
        check_tags(tags)
        arns: Sequence[str] = given.get("Layers") or ()
        attached(arns, key, call.principal, self._store.memory)
        config_arn: str | None = given.get("CodeSigningConfigArn") or None
        if config_arn is not None:
            check_exists(call, config_arn, self._store.memory)
        content = await archive_of(call, given["Code"], self._objects)
        plan = await asyncio.to_thread(check_archive, content)
        self._check_absent(reference)
        copies = 2 if given.get("Publish") else 1
        self._usage.check(call.account_id, call.region, copies * len(content))
        code = await self._store_archive(content, plan)
        now_ms = self._clock.now_ms()
        version = FunctionVersion(
            key=key,
            created_at_ms=now_ms,
            modified_at_ms=now_ms,
            revision_id=self._entropy.request_id(),
            content_id=self._entropy.request_id(),
            code=code,
            state=State.PENDING,
            state_reason=BEING_CREATED,
            state_reason_code=ReasonCode.CREATING,
            **fields,
        )

        publishes = bool(given.get("Publish"))
        first_revision_id = self._entropy.request_id() if publishes else ""

        def decide(transaction: Transaction) -> FunctionVersion:
            if transaction.get(FUNCTIONS, key) is not None:
                raise _exists(reference)
            layers = attached(arns, key, call.principal, transaction)
            check_size(code, layers)
            if config_arn is not None:
                check_unsigned(transaction, key, config_arn)
                use(transaction, key, config_arn)
            declared = msgspec.structs.replace(version, layers=layers)
            record, answered = FunctionRecord(declared=declared, tags=tags), declared
            if publishes:
                record, answered = publish(
                    transaction, record, description=None, revision_id=first_revision_id, now_ms=now_ms
                )
            transaction.put(FUNCTIONS, key, record)
            return answered

        output = configuration(await self._store.write(decide))
        output["FunctionArn"] = key.arn()  # recorded: unqualified, though the version may be the first
        return OperationResult(output=output, status=201)

    async def update_function_code(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        reference = unqualified(reference_of(call))
        parameters.refuse_unsupported(call.operation, given, handled=_UPDATE_CODE)
        if given.get("ImageUri"):
            self._record(reference)
            raise InvalidParameterValue(
                "Please don't provide ImageUri when updating a function with packageType Zip."
            )
        sources = {name: given[name] for name in _CODE_SOURCES if given.get(name) is not None}
        content = await archive_of(call, sources, self._objects)
        plan = await asyncio.to_thread(check_archive, content)
        revision_id: str | None = given.get("RevisionId")
        record = self._record(reference)
        check_changeable(record, revision_id)
        more_bytes = len(content) - record.declared.code.size_bytes
        if given.get("Publish"):
            more_bytes += len(content)
        self._usage.check(call.account_id, call.region, more_bytes)
        architecture = parameters.architecture(given)
        if given.get("DryRun"):
            code = await asyncio.to_thread(_code_ref, content, plan)
            check_size(code, record.declared.layers)
            check_unsigned(self._store.memory, reference.key)
            tried = msgspec.structs.replace(record.declared, code=code, **architecture)
            return OperationResult(output=configuration(tried))
        code = await self._store_archive(content, plan)

        def change(declared: FunctionVersion, transaction: Transaction) -> Mapping[str, Any]:
            check_size(code, declared.layers)
            check_unsigned(transaction, reference.key)
            return {"code": code, **architecture}

        return await self._update(reference, revision_id, change, publishes=bool(given.get("Publish")))

    async def update_function_configuration(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        reference = unqualified(reference_of(call))
        parameters.refuse_unsupported(call.operation, given, handled=_UPDATE_CONFIGURATION)
        fields = parameters.fields(given, account_id=call.account_id)
        before = self._record(reference).declared
        self._check_role(fields)
        if fields.keys() & {"role_arn", "dead_letter_arn"}:
            role_arn = fields.get("role_arn", before.role_arn)
            target_arn = fields.get("dead_letter_arn", before.dead_letter_arn)
            self._check_dead_letters(reference.key, role_arn, target_arn)
        if fields.keys() & {"role_arn", "tracing_mode"}:
            mode = fields.get("tracing_mode", before.tracing_mode)
            self._check_tracing(reference.key, fields.get("role_arn", before.role_arn), mode)
        logging: Mapping[str, Any] = given.get("LoggingConfig") or {}
        arns: Sequence[str] | None = given.get("Layers")
        attached(arns or (), reference.key, call.principal, self._store.memory)

        def change(declared: FunctionVersion, transaction: Transaction) -> Mapping[str, Any]:
            check_snap_start(
                fields.get("snap_start", declared.snap_start),
                fields.get("runtime", declared.runtime),
                fields.get("ephemeral_mib", declared.ephemeral_mib),
            )
            layers = declared.layers
            if arns is not None:
                layers = attached(arns, reference.key, call.principal, transaction)
                check_size(declared.code, layers)
                if layers:
                    check_unsigned(transaction, reference.key)
            logging_config = parameters.logging_config(logging, declared.logging)
            return {**fields, "logging": logging_config, "layers": layers}

        return await self._update(reference, given.get("RevisionId"), change)

    async def _update(
        self,
        reference: FunctionReference,
        revision_id: str | None,
        change: Callable[[FunctionVersion, Transaction], Mapping[str, Any]],
        *,
        publishes: bool = False,
    ) -> OperationResult:
        now_ms = self._clock.now_ms()
        new_revision_id, content_id = self._entropy.request_id(), self._entropy.request_id()
        version_revision_id = self._entropy.request_id() if publishes else ""

        def decide(transaction: Transaction) -> FunctionVersion:
            record = record_of(transaction, reference)
            check_changeable(record, revision_id)
            never_ran = record.active is None
            declared = msgspec.structs.replace(
                record.declared,
                modified_at_ms=now_ms,
                revision_id=new_revision_id,
                content_id=content_id,
                state=State.PENDING if never_ran else State.ACTIVE,
                state_reason=BEING_CREATED if never_ran else None,
                state_reason_code=ReasonCode.CREATING if never_ran else None,
                last_update_status=LastUpdateStatus.IN_PROGRESS,
                last_update_status_reason=BEING_CREATED,
                last_update_status_reason_code=ReasonCode.CREATING,
                **change(record.declared, transaction),
            )
            record, answered = msgspec.structs.replace(record, declared=declared), declared
            if publishes:
                last = unchanged_version(transaction, record)
                if last is not None:
                    answered = last
                else:
                    record, answered = publish(
                        transaction, record, description=None, revision_id=version_revision_id, now_ms=now_ms
                    )
            transaction.put(FUNCTIONS, record.key, record)
            return answered

        return OperationResult(output=configuration(await self._store.write(decide)))

    def _check_role(self, fields: Mapping[str, Any]) -> None:
        if "role_arn" in fields and not self._trusts_lambda(fields["role_arn"]):
            raise parameters.not_assumable()

    def _check_dead_letters(self, function: FunctionKey, role_arn: str, target_arn: str | None) -> None:
        if target_arn is None:
            return
        service, call = ("SQS", "SendMessage") if ":sqs:" in target_arn else ("SNS", "Publish")
        if not self._may(role_arn, function.name, f"{service.lower()}:{call}", target_arn):
            raise InvalidParameterValue(
                f"The provided execution role does not have permissions to call {call} on {service}"
            )

    def _check_tracing(self, function: FunctionKey, role_arn: str, mode: str | None) -> None:
        if mode == ACTIVE:
            for call in ("PutTraceSegments", "PutTelemetryRecords"):
                if not self._may(role_arn, function.name, f"xray:{call}", "*"):
                    raise InvalidParameterValue(
                        f"The provided execution role does not have permissions to call {call} on XRAY"
                    )

    async def _store_archive(self, content: bytes, plan: ArchivePlan) -> CodeRef:
        digest = await self._store.blobs.put(content)
        return CodeRef(digest=digest, size_bytes=len(content), unzipped_bytes=plan.unzipped_bytes)

    def _record(self, reference: FunctionReference) -> FunctionRecord:
        return record_of(self._store.memory, reference)

    def _check_absent(self, reference: FunctionReference) -> None:
        if self._store.functions.peek(reference.key) is not None:
            raise _exists(reference)


def _exists(reference: FunctionReference) -> ResourceConflict:
    return ResourceConflict(f"Function already exist: {reference.key.name}")


def _check_name(name: str) -> None:
    """The name by itself, whatever form it was given in."""
    if len(name) > MAX_FUNCTION_NAME_LENGTH:
        raise InvalidParameterValue(
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MAX_FUNCTION_NAME_LENGTH}"
        )


def _code_ref(content: bytes, plan: ArchivePlan) -> CodeRef:
    digest = ArchiveDigest(hashlib.sha256(content).hexdigest())
    return CodeRef(digest=digest, size_bytes=len(content), unzipped_bytes=plan.unzipped_bytes)
