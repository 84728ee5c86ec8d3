"""What AddPermission asks for, as a statement of a policy; policy documents, checked and measured. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from squib.iam.document import parse_document
from squib.model.errors import InvalidParameterValue, MalformedPolicyDocument, PolicyLengthExceeded
from squib.model.limits import MAX_POLICY_BYTES
from squib.model.policy import CURRENT_VERSION, PolicyType

Statement = Mapping[str, Any]

INVOKE_FUNCTION_URL: Final = "lambda:InvokeFunctionUrl"

_ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)
_ARN: Final = re.compile(r"arn:aws[a-zA-Z-]*:(?:iam|sts)::\d{12}:[^*\s]+", re.ASCII)
_SERVICE: Final = re.compile(
    r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.(com|com\.cn|eu)|amazon\.com|aws\.internal)", re.ASCII
)  # alexa-appkit.amazon.com is one too


def statement(given: Mapping[str, Any], resource_arn: str) -> Statement:
    """The statement for the parameters of AddPermission. Raises InvalidParameterValue."""
    if given.get("FunctionUrlAuthType") is not None and given["Action"] != INVOKE_FUNCTION_URL:
        raise InvalidParameterValue(f"FunctionUrlAuthType is only supported for {INVOKE_FUNCTION_URL} action")
    made: dict[str, Any] = {
        "Sid": given["StatementId"],
        "Effect": "Allow",
        "Principal": principal(given["Principal"]),
        "Action": given["Action"],
        "Resource": resource_arn,
    }
    conditions = _conditions(given)
    if conditions:
        made["Condition"] = conditions
    return made


def principal(text: str) -> str | Mapping[str, str]:
    """Who is meant: everyone, a service, an account, or one of its identities."""
    if text == "*":
        return text
    if _ACCOUNT.fullmatch(text):
        return {"AWS": f"arn:aws:iam::{text}:root"}
    if _ARN.fullmatch(text):
        return {"AWS": text}
    if _SERVICE.fullmatch(text):
        return {"Service": text}
    raise invalid_principal()


def invalid_principal() -> InvalidParameterValue:
    """For a principal that is none, or does not exist."""
    return InvalidParameterValue(
        "The provided principal was invalid. Please check the principal and try again."
    )


def document(statements: Sequence[Statement]) -> Mapping[str, Any]:
    """A whole policy, as AddPermission builds it."""
    return {"Version": CURRENT_VERSION, "Id": "default", "Statement": list(statements)}


def text(policy: Mapping[str, Any]) -> str:
    """A document or statement as the API shows it."""
    return msgspec.json.encode(policy).decode()


def check_size(policy: Mapping[str, Any]) -> None:
    """Raises PolicyLengthExceeded."""
    size_bytes = len(msgspec.json.encode(policy))
    if size_bytes > MAX_POLICY_BYTES:
        raise PolicyLengthExceeded(size_bytes, MAX_POLICY_BYTES)


def parse(given: str, resource_arn: str) -> Mapping[str, Any]:
    """A policy document that a caller wrote, for that resource. Raises InvalidParameterValue."""
    try:
        parsed = parse_document(given, PolicyType.RESOURCE)
    except MalformedPolicyDocument as error:
        raise InvalidParameterValue(error.message) from error
    for one in parsed.statements:
        if any(action != "*" and not action.lower().startswith("lambda:") for action in one.actions):
            raise InvalidParameterValue("A policy of a Lambda resource has actions of Lambda only.")
        if one.is_not_resource or any(
            resource not in ("*", resource_arn, f"{resource_arn}:*") for resource in one.resources
        ):
            raise InvalidParameterValue(f"The policy is about another resource than {resource_arn}.")
    decoded: dict[str, Any] = msgspec.json.decode(given)
    if isinstance(decoded["Statement"], dict):
        decoded["Statement"] = [decoded["Statement"]]
    return decoded


def _conditions(given: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
    """Operators and keys in the order and spelling that Lambda gives them."""
    equals = {
        key: given[name]
        for name, key in (
            ("SourceAccount", "AWS:SourceAccount"),
            ("FunctionUrlAuthType", "lambda:FunctionUrlAuthType"),
            ("PrincipalOrgID", "aws:PrincipalOrgID"),
            ("EventSourceToken", "lambda:EventSourceToken"),
        )
        if given.get(name) is not None
    }
    conditions: dict[str, Mapping[str, str]] = {}
    if equals:
        conditions["StringEquals"] = equals
    if given.get("SourceArn") is not None:
        conditions["ArnLike"] = {"AWS:SourceArn": given["SourceArn"]}
    if given.get("InvokedViaFunctionUrl") is not None:
        is_via_url = "true" if given["InvokedViaFunctionUrl"] else "false"
        conditions["Bool"] = {"lambda:InvokedViaFunctionUrl": is_via_url}
    return conditions
