"""`squib explain REQUEST-ID`: why a call was denied, and what to do about it, in plain words."""

import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from squib.commands.running import NoAnswer, RunningSquib
from squib.model.policy import PolicyType

_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,128}")
_KINDS = {
    PolicyType.IDENTITY: "identity-based policy of the caller",
    PolicyType.RESOURCE: "policy of the resource",
    PolicyType.TRUST: "trust policy of the role",
    PolicyType.BOUNDARY: "permissions boundary of the caller",
    PolicyType.SESSION: "session policy of the caller",
    PolicyType.SERVICE_CONTROL: "service control policy of the caller's organization",
    PolicyType.RESOURCE_CONTROL: "resource control policy of the resource's organization",
}


class Denial(msgspec.Struct, kw_only=True):
    """The page."""

    request_id: str
    at_ms: int
    account_id: str | None
    principal: str
    action: str
    resource: str
    outcome: str
    policy_type: str
    policy: str | None
    statement: str | None


def run(data_dir: Path, request_id: str, *, as_json: bool) -> None:
    """Prints it. Raises NoAnswer when nothing is known of that request."""
    if not _REQUEST_ID.fullmatch(request_id):
        raise NoAnswer(f"{request_id} is no request id")
    squib = RunningSquib(data_dir)
    for account_id in squib.accounts(None):
        denial = squib.ask(account_id, f"/_squib/denials/{request_id}", Denial)
        if denial is not None:
            text = msgspec.json.format(msgspec.json.encode(denial), indent=2).decode()
            print(text if as_json else explained(denial))
            return
    raise NoAnswer(
        f"no denial of request {request_id} is remembered: it was allowed, or is too long ago, or squib was "
        "started since"
    )


def explained(denial: Denial) -> str:
    """The denial in words."""
    kind = _KINDS[PolicyType(denial.policy_type)]
    moment = datetime.fromtimestamp(denial.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if denial.outcome == "explicit_deny":
        why = f"statement {denial.statement} of {denial.policy or 'a policy'} denies it (a {kind})"
        mend = "remove or narrow that statement: a Deny counts whatever any Allow says"
    else:
        why = f"no {kind} allows it"
        mend = _mended(PolicyType(denial.policy_type), denial)
    return "\n".join(
        (
            f"Request {denial.request_id} was denied at {moment}.",
            f"  who:         {denial.principal}",
            f"  what:        {denial.action}",
            f"  on:          {denial.resource}",
            f"  why:         {why}",
            f"  what to do:  {mend}",
        )
    )


def _mended(policy_type: PolicyType, denial: Denial) -> str:
    allowing = f"a statement that allows {denial.action} on {denial.resource}"
    match policy_type:
        case PolicyType.IDENTITY:
            return f"give the caller a policy with {allowing}"
        case PolicyType.RESOURCE:
            return f"give the resource a policy with {allowing} to {denial.principal}"
        case PolicyType.TRUST:
            return f"name {denial.principal} in the role's trust policy"
        case PolicyType.BOUNDARY:
            return f"add {allowing} to the permissions boundary, which must allow it beside the policies"
        case PolicyType.SESSION:
            return f"pass a session policy with {allowing} when the session is made, or pass none"
        case _:
            return f"add {allowing} to that policy at every level of the organization"
