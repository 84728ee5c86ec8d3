"""Resource-based policies of functions, versions and aliases.

AddPermission and RemovePermission work on single statements, PutResourcePolicy and its kin on whole
documents; both on the same policies. A change gives policy and resource a new revision id, the same one.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from squib.access.named import shown, unique_ids
from squib.clock import Entropy
from squib.control_plane.lambda_ import statements
from squib.control_plane.lambda_.lookup import find_alias, find_version, missing, reference_of
from squib.control_plane.lambda_.statements import Statement
from squib.iam.document import parse_document
from squib.model.alias import ALIASES, qualified_key
from squib.model.arn import FunctionReference, parse_function_arn, parse_function_reference
from squib.model.errors import (
    InvalidParameterValue,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
    UnsupportedParameter,
)
from squib.model.function import FUNCTIONS, LATEST, VERSIONS, version_key
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.model.policy import PolicyDocument, PolicyType
from squib.model.resource_policy import RESOURCE_POLICIES, ResourcePolicy
from squib.store.base import Reader, Store, Transaction


class PermissionService:
    """The six operations."""

    def __init__(self, store: Store, entropy: Entropy) -> None:
        self._store = store
        self._entropy = entropy

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "AddPermission": self.add_permission,
            "RemovePermission": self.remove_permission,
            "GetPolicy": self.get_policy,
            "PutResourcePolicy": self.put_resource_policy,
            "GetResourcePolicy": self.get_resource_policy,
            "DeleteResourcePolicy": self.delete_resource_policy,
        }

    async def add_permission(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        reference = _subject(reference_of(call))
        added = statements.statement(given, reference.arn)

        def change(present: Mapping[str, Any]) -> Mapping[str, Any]:
            before: list[Statement] = present["Statement"]
            if any(one.get("Sid") == added["Sid"] for one in before):
                raise ResourceConflict(
                    f"The statement id ({added['Sid']}) provided already exists. Please provide a new "
                    "statement id, or remove the existing statement."
                )
            return {**present, "Statement": [*before, added]}

        def decide(transaction: Transaction) -> None:
            if find_version(transaction, reference) is None:
                raise missing(reference)
            policy = _policy(transaction, reference)
            _check_revision(transaction, reference, policy, given.get("RevisionId"))
            _check_exist(transaction, statements.document([added]))
            present = statements.document([]) if policy is None else _shown(transaction, policy)
            self._write(transaction, reference, change(present), revision_id)

        revision_id = self._entropy.request_id()
        await self._store.write(decide)
        return OperationResult(output={"Statement": statements.text(added)}, status=201)

    async def remove_permission(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        reference = _subject(reference_of(call))
        sid = given["StatementId"]

        def decide(transaction: Transaction) -> None:
            if find_version(transaction, reference) is None:
                if reference.qualifier is None:
                    raise ResourceNotFound(f"No policy found for: {reference.arn}")
                raise missing(reference)
            policy = _policy(transaction, reference)
            if policy is None:
                raise ResourceNotFound("No policy is associated with the given resource.")
            _check_revision(transaction, reference, policy, given.get("RevisionId"))
            present = _shown(transaction, policy)
            before: list[Statement] = present["Statement"]
            after = [one for one in before if one.get("Sid") != sid]
            if len(after) == len(before):
                raise ResourceNotFound(f"Statement {sid} is not found in resource policy.")
            document = {**present, "Statement": after} if after else None
            self._write(transaction, reference, document, revision_id)

        revision_id = self._entropy.request_id()
        await self._store.write(decide)
        return OperationResult(output={}, status=204)

    async def get_policy(self, call: AuthorizedCall) -> OperationResult:
        return self._shown(reference_of(call))

    async def put_resource_policy(self, call: AuthorizedCall) -> OperationResult:
        reference = _resource(call)
        document = statements.parse(call.input["Policy"], reference.arn)
        revision_id = self._entropy.request_id()

        def decide(transaction: Transaction) -> None:
            if find_version(transaction, reference) is None:
                raise missing(reference)
            policy = _policy(transaction, reference)
            _check_revision(transaction, reference, policy, call.input.get("RevisionId"))
            _check_exist(transaction, document)
            self._write(transaction, reference, document, revision_id)

        await self._store.write(decide)
        return OperationResult(output={"Policy": statements.text(document), "RevisionId": revision_id})

    async def get_resource_policy(self, call: AuthorizedCall) -> OperationResult:
        return self._shown(_resource(call))

    async def delete_resource_policy(self, call: AuthorizedCall) -> OperationResult:
        reference = _resource(call)
        revision_id = self._entropy.request_id()

        def decide(transaction: Transaction) -> None:
            policy = _policy(transaction, reference)
            if policy is None:
                raise _no_policy()
            _check_revision(transaction, reference, policy, call.input.get("RevisionId"))
            self._write(transaction, reference, None, revision_id)

        await self._store.write(decide)
        return OperationResult(output={}, status=204)

    def _shown(self, reference: FunctionReference) -> OperationResult:
        policy = _policy(self._store.memory, reference)
        if policy is None:
            raise _no_policy()
        document = _shown(self._store.memory, policy)
        return OperationResult(output={"Policy": statements.text(document), "RevisionId": policy.revision_id})

    def _write(
        self,
        transaction: Transaction,
        reference: FunctionReference,
        document: Mapping[str, Any] | None,
        revision_id: str,
    ) -> None:
        """Puts the policy, or deletes it where `document` is None."""
        key = qualified_key(reference.key, reference.qualifier)
        if document is None:
            transaction.delete(RESOURCE_POLICIES, key)
        else:
            statements.check_size(document)
            policy = ResourcePolicy(
                function=reference.key,
                qualifier=reference.qualifier,
                revision_id=revision_id,
                document=document,
                principal_ids=unique_ids(transaction, _parsed(document)).by_arn,
            )
            transaction.put(RESOURCE_POLICIES, key, policy)
        _touch(transaction, reference, revision_id)


def _shown(reader: Reader, policy: ResourcePolicy) -> Mapping[str, Any]:
    return shown(policy.document, policy.principal_ids, reader)


def _subject(reference: FunctionReference) -> FunctionReference:
    """What a policy can be of. Raises InvalidParameterValue for `$LATEST`, which has none of its own."""
    if reference.qualifier == LATEST:
        raise InvalidParameterValue("We currently do not support adding policies for $LATEST.")
    return reference


def _resource(call: AuthorizedCall) -> FunctionReference:
    """The function, version or alias that `ResourceArn` names."""
    arn: str = call.input["ResourceArn"]
    if parse_function_arn(arn) is None:
        raise UnsupportedParameter(call.operation, f"ResourceArn ({arn})")
    return _subject(parse_function_reference(arn, account_id=call.account_id, region=call.region))


def _policy(reader: Reader, reference: FunctionReference) -> ResourcePolicy | None:
    return reader.get(RESOURCE_POLICIES, qualified_key(reference.key, reference.qualifier))


def _parsed(document: Mapping[str, Any]) -> PolicyDocument:
    return parse_document(statements.text(document), PolicyType.RESOURCE)


def _check_exist(reader: Reader, document: Mapping[str, Any]) -> None:
    """Raises InvalidParameterValue when it names a user or role that there is none of."""
    if unique_ids(reader, _parsed(document)).missing:
        raise statements.invalid_principal()


def _no_policy() -> ResourceNotFound:
    return ResourceNotFound("The resource you requested does not exist.")


def _check_revision(
    reader: Reader, reference: FunctionReference, policy: ResourcePolicy | None, given: str | None
) -> None:
    """Raises PreconditionFailed when `given` is not the policy's revision; before there is one, that of the
    function, version or alias."""
    if given is None:
        return
    if policy is not None:
        latest = policy.revision_id
    else:
        resource = find_alias(reader, reference) or find_version(reader, reference)
        latest = "" if resource is None else resource.revision_id
    if given != latest:
        raise PreconditionFailed(
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetPolicy API to retrieve the latest Revision Id"
        )


def _touch(transaction: Transaction, reference: FunctionReference, revision_id: str) -> None:
    """The resource has changed too."""
    alias = find_alias(transaction, reference)
    if alias is not None:
        key = qualified_key(reference.key, alias.name)
        transaction.put(ALIASES, key, msgspec.structs.replace(alias, revision_id=revision_id))
        return
    if reference.qualifier is not None:
        version = find_version(transaction, reference)
        if version is not None:
            changed = msgspec.structs.replace(version, revision_id=revision_id)
            transaction.put(VERSIONS, version_key(reference.key, version.version), changed)
        return
    record = transaction.get(FUNCTIONS, reference.key)
    if record is not None:
        declared = msgspec.structs.replace(record.declared, revision_id=revision_id)
        transaction.put(FUNCTIONS, record.key, msgspec.structs.replace(record, declared=declared))
