"""Functions under a code signing configuration: put, read, taken away, listed, and what it refuses."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from squib.control_plane.lambda_.code_signing import config_of
from squib.control_plane.lambda_.lookup import record_of, reference_of, unqualified
from squib.control_plane.lambda_.pages import page_size, page_start
from squib.control_plane.pagination import marker
from squib.model.code_signing import (
    CODE_SIGNING_CONFIGS,
    ENFORCE,
    FUNCTION_CODE_SIGNING,
    FunctionCodeSigning,
    parse_code_signing_arn,
)
from squib.model.errors import CodeSigningConfigMissing, CodeSigningConfigNotFound, CodeVerificationFailed
from squib.model.function import FunctionKey
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Reader, Store, Transaction

log = logging.getLogger("squib.code_signing")


class FunctionCodeSigningService:
    """The operations that tie functions to configurations."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uses = store.collection(FUNCTION_CODE_SIGNING)

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PutFunctionCodeSigningConfig": self.put_function_code_signing_config,
            "GetFunctionCodeSigningConfig": self.get_function_code_signing_config,
            "DeleteFunctionCodeSigningConfig": self.delete_function_code_signing_config,
            "ListFunctionsByCodeSigningConfig": self.list_functions_by_code_signing_config,
        }

    async def put_function_code_signing_config(self, call: AuthorizedCall) -> OperationResult:
        """What is deployed already stays, signed or not."""
        reference = unqualified(reference_of(call))
        arn: str = call.input["CodeSigningConfigArn"]

        def decide(transaction: Transaction) -> None:
            check_exists(call, arn, transaction)
            record_of(transaction, reference)
            use(transaction, reference.key, arn)

        await self._store.write(decide)
        return OperationResult(output={"CodeSigningConfigArn": arn, "FunctionName": reference.key.name})

    async def get_function_code_signing_config(self, call: AuthorizedCall) -> OperationResult:
        reference = unqualified(reference_of(call))
        record_of(self._store.memory, reference)
        found = self._uses.peek(reference.key)
        if found is None:
            return OperationResult(output={})
        output = {"CodeSigningConfigArn": found.config_arn, "FunctionName": reference.key.name}
        return OperationResult(output=output)

    async def delete_function_code_signing_config(self, call: AuthorizedCall) -> OperationResult:
        reference = unqualified(reference_of(call))

        def decide(transaction: Transaction) -> None:
            record_of(transaction, reference)
            transaction.delete(FUNCTION_CODE_SIGNING, reference.key)

        await self._store.write(decide)
        return OperationResult(output={}, status=204)

    async def list_functions_by_code_signing_config(self, call: AuthorizedCall) -> OperationResult:
        config = config_of(call, self._store.memory)
        start = page_start(call.input.get("Marker"), _After)
        limit = page_size(call.input)
        after = "" if start is None else start.name
        uses = self._uses.page(call.account_id, call.region, after=after)
        found = [one.function for one in uses if one.config_arn == config.arn][: limit + 1]
        output: dict[str, Any] = {"FunctionArns": [function.arn() for function in found[:limit]]}
        if len(found) > limit:
            output["NextMarker"] = marker(_After(found[limit - 1].name))
        return OperationResult(output=output)


def use(transaction: Transaction, function: FunctionKey, arn: str) -> None:
    """Puts a function under a configuration."""
    transaction.put(FUNCTION_CODE_SIGNING, function, FunctionCodeSigning(function=function, config_arn=arn))


def check_exists(call: AuthorizedCall, arn: str, reader: Reader) -> None:
    """Raises CodeSigningConfigNotFound for a configuration that no function can be put under."""
    try:
        config_of(call, reader, arn)
    except CodeSigningConfigMissing as error:
        raise CodeSigningConfigNotFound(arn) from error


def check_unsigned(reader: Reader, function: FunctionKey, arn: str | None = None) -> None:
    """What the function's configuration (that of `arn` when given) says to a package or layer without a
    signature, which to squib they all are. Raises CodeVerificationFailed, or warns."""
    if arn is None:
        used = reader.get(FUNCTION_CODE_SIGNING, function)
        if used is None:
            return
        arn = used.config_arn
    key = parse_code_signing_arn(arn)
    config = None if key is None else reader.get(CODE_SIGNING_CONFIGS, key)
    if config is None:
        raise CodeSigningConfigNotFound(arn)
    if config.untrusted_artifact == ENFORCE:
        raise CodeVerificationFailed(function.name)
    log.warning("unsigned_package_accepted function_arn=%s code_signing_config=%s", function.arn(), arn)


class _After(msgspec.Struct, frozen=True, tag="functions-by-code-signing-config"):
    """A position in ListFunctionsByCodeSigningConfig."""

    name: str
