"""How runtimes are updated: GetRuntimeManagementConfig, PutRuntimeManagementConfig.

There is one mode here. squib runs functions on the interpreters that the machine has, of which there is one
for each runtime, and new environments take whatever it is by then: that is what AWS calls Auto. Nothing can
keep a function on an older one.
"""

from collections.abc import Mapping
from typing import Final

from squib.control_plane.lambda_.lookup import reference_of, version_of
from squib.model.errors import InvalidParameterValue, UnsupportedParameter
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Store

_AUTO: Final = "Auto"


class RuntimeManagementService:
    """The two operations. There is nothing to store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def handlers(self) -> Mapping[str, Handler]:
        return {"PutRuntimeManagementConfig": self.put, "GetRuntimeManagementConfig": self.get}

    async def put(self, call: AuthorizedCall) -> OperationResult:
        """Takes Auto. Another mode could not be kept, and is refused."""
        mode: str = call.input["UpdateRuntimeOn"]
        if mode != "Manual" and call.input.get("RuntimeVersionArn"):
            raise InvalidParameterValue(
                "RuntimeVersionArn can only be provided when UpdateRuntimeOn is set to Manual."
            )
        if mode != _AUTO:
            version_of(self._store.memory, reference_of(call))
            raise UnsupportedParameter(call.operation, f"UpdateRuntimeOn={mode}")
        return await self.get(call)

    async def get(self, call: AuthorizedCall) -> OperationResult:
        reference = reference_of(call)
        version_of(self._store.memory, reference)
        return OperationResult(output={"UpdateRuntimeOn": _AUTO, "FunctionArn": reference.arn})
