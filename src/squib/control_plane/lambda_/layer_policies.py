"""Policies of layer versions: who else may use them."""

import json
from collections.abc import Callable, Mapping, Sequence

import msgspec

from squib.clock import Entropy
from squib.control_plane.lambda_.layer_lookup import layer_of, version_number
from squib.model.errors import PolicyLengthExceeded, PreconditionFailed, ResourceConflict, ResourceNotFound
from squib.model.item import ItemKey
from squib.model.layer import LAYER_VERSIONS, LayerStatement, LayerVersion
from squib.model.limits import MAX_POLICY_BYTES
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Store, Transaction

Statements = Sequence[LayerStatement]


class LayerPolicyService:
    """The operations on policies of layer versions."""

    def __init__(self, store: Store, entropy: Entropy) -> None:
        self._store = store
        self._versions = store.collection(LAYER_VERSIONS)
        self._entropy = entropy

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "AddLayerVersionPermission": self.add_layer_version_permission,
            "RemoveLayerVersionPermission": self.remove_layer_version_permission,
            "GetLayerVersionPolicy": self.get_layer_version_policy,
        }

    async def add_layer_version_permission(self, call: AuthorizedCall) -> OperationResult:
        statement = LayerStatement(
            statement_id=call.input["StatementId"],
            principal=call.input["Principal"],
            organization_id=call.input.get("OrganizationId"),
        )

        def add(statements: Statements) -> Statements:
            if any(one.statement_id == statement.statement_id for one in statements):
                raise ResourceConflict(
                    f"The statement id ({statement.statement_id}) provided already exists. "
                    "Please provide a new statement id, or remove the existing statement."
                )
            return (*statements, statement)

        version = await self._change(call, add)
        document = json.dumps(statement.document(version.arn), separators=(",", ":"))
        output = {"Statement": document, "RevisionId": version.policy_revision_id}
        return OperationResult(output=output, status=201)

    async def remove_layer_version_permission(self, call: AuthorizedCall) -> OperationResult:
        statement_id: str = call.input["StatementId"]

        def remove(statements: Statements) -> Statements:
            kept = tuple(one for one in statements if one.statement_id != statement_id)
            if len(kept) == len(statements):
                raise ResourceNotFound(f"Statement {statement_id} is not found in resource policy.")
            return kept

        await self._change(call, remove)
        return OperationResult(output={}, status=204)

    async def get_layer_version_policy(self, call: AuthorizedCall) -> OperationResult:
        key, arn = _named(call)
        version = self._versions.peek(key)
        if version is None:
            raise _missing(arn)
        if not version.statements:
            raise ResourceNotFound("No policy is associated with the given resource.")
        output = {"Policy": version.policy(), "RevisionId": version.policy_revision_id}
        return OperationResult(output=output)

    async def _change(self, call: AuthorizedCall, change: Callable[[Statements], Statements]) -> LayerVersion:
        key, arn = _named(call)
        given_revision_id: str | None = call.input.get("RevisionId")
        revision_id = self._entropy.request_id()

        def decide(transaction: Transaction) -> LayerVersion:
            version = transaction.get(LAYER_VERSIONS, key)
            if version is None:
                raise _missing(arn)
            if given_revision_id is not None and given_revision_id != version.policy_revision_id:
                raise PreconditionFailed(
                    "The Revision Id provided does not match the latest Revision Id. "
                    "Call the GetLayerPolicy API to retrieve the latest Revision Id"
                )
            changed = msgspec.structs.replace(
                version, statements=change(version.statements), policy_revision_id=revision_id
            )
            size_bytes = len(changed.policy())
            if size_bytes > MAX_POLICY_BYTES:
                raise PolicyLengthExceeded(size_bytes, MAX_POLICY_BYTES)
            transaction.put(LAYER_VERSIONS, key, changed)
            return changed

        return await self._store.write(decide)


def _named(call: AuthorizedCall) -> tuple[ItemKey, str]:
    number = version_number(call)
    layer = layer_of(call)
    return layer.version(number), f"{layer.arn}:{number}"


def _missing(arn: str) -> ResourceNotFound:
    return ResourceNotFound(f"Layer version {arn} does not exist.")
