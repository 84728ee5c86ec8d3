"""Why calls were denied: the last ones, for whoever asks afterwards. In memory; the log has every one."""

import logging
from collections import OrderedDict
from typing import Final

import msgspec

from squib.access.permissions import Judgement
from squib.iam.compiled import StatementRef
from squib.iam.evaluate import Missing
from squib.model.units import AccountId, EpochMs, RequestId

log: Final = logging.getLogger("squib.access")

_KEPT: Final = 10_000  # our own choice: some megabytes


class Denial(msgspec.Struct, frozen=True, kw_only=True):
    """One denied call, explained."""

    request_id: RequestId
    at_ms: EpochMs
    account_id: AccountId | None
    """The caller's; None when nobody signed."""
    principal: str
    action: str
    resource: str
    outcome: str
    """`explicit_deny` or `implicit_deny`."""
    policy_type: str
    """Of the statement that denies, or of the policies among which none allows."""
    policy: str | None
    """What the denying statement stands in."""
    statement: str | None
    """Its Sid, or its number from 0."""


class Denials:
    """Keeps the last denials by request. On the event loop only."""

    def __init__(self) -> None:
        self._kept: OrderedDict[RequestId, Denial] = OrderedDict()

    def note(self, request_id: RequestId, judgement: Judgement, *, at_ms: EpochMs) -> None:
        """Takes a judgement that denies."""
        denial = _explained(request_id, judgement, at_ms)
        self._kept[request_id] = denial
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        log.info(
            "call_denied request_id=%s principal=%s action=%s resource=%s outcome=%s policy_type=%s "
            "policy=%s statement=%s",
            request_id,
            denial.principal,
            denial.action,
            denial.resource,
            denial.outcome,
            denial.policy_type,
            denial.policy,
            denial.statement,
        )

    def find(self, request_id: RequestId) -> Denial | None:
        """The denial of a request; None when it was not denied, or long ago."""
        return self._kept.get(request_id)


def _explained(request_id: RequestId, judgement: Judgement, at_ms: EpochMs) -> Denial:
    request, decision = judgement
    policy = statement = None
    match decision.because:
        case StatementRef() as ref:
            policy_type = ref.policy_type
            policy, statement = ref.policy_id, ref.sid or str(ref.index)
        case Missing(policy_type=policy_type):
            pass
        case _:
            raise AssertionError("root's access is no denial")
    return Denial(
        request_id=request_id,
        at_ms=at_ms,
        account_id=request.caller.account_id,
        principal=request.caller.arn,
        action=request.action,
        resource=request.resource,
        outcome=decision.outcome,
        policy_type=policy_type,
        policy=policy,
        statement=statement,
    )
