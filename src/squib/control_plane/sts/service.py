"""STS: who the caller is."""

from collections.abc import Mapping

from squib.model.operation import AuthorizedCall, Handler, OperationResult


class StsService:
    """The operations that need no store."""

    def handlers(self) -> Mapping[str, Handler]:
        """See `registry.Service`."""
        return {"GetCallerIdentity": get_caller_identity}


async def get_caller_identity(call: AuthorizedCall) -> OperationResult:
    """GetCallerIdentity: the principal that signed the call."""
    principal = call.principal
    return OperationResult(
        output={"UserId": principal.user_id, "Account": principal.account_id, "Arn": principal.arn}
    )
