"""Policy documents as text: reading with AWS's errors, and writing.

What a document of each type may hold is checked here (IAM User Guide, "Grammar of the IAM JSON policy
language" and "IAM JSON policy elements reference"), so that whatever has become a `PolicyDocument` can be
evaluated. Whether principals exist, and how long a document may be, is for those who store it.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeAlias

from squib.iam.operators import Operator, parse_operator
from squib.iam.values import is_value_of
from squib.model.errors import MalformedPolicyDocument
from squib.model.policy import (
    CURRENT_VERSION,
    LEGACY_VERSION,
    Condition,
    Effect,
    PolicyDocument,
    PolicyType,
    Principals,
    Statement,
)

MAX_DOCUMENT_CHARACTERS: Final = (
    131072  # IAM API reference, policyDocumentType: more is refused before it is read
)

_SYNTAX: Final = "Syntax errors in policy."
_LEGACY: Final = "The policy failed legacy parsing"
_VENDOR: Final = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
_SID: Final = (
    "Statement IDs (SID) must be alpha-numeric. "
    "Check that your input satisfies the regular expression [0-9A-Za-z]*"
)

_NOT_OF_TYPE: Final = (
    "The provided policy document does not meet the requirements of the specified policy type."
)

_TOP_FIELDS: Final = frozenset(("Version", "Id", "Statement"))
_STATEMENT_FIELDS: Final = frozenset(
    (
        "Sid",
        "Effect",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Principal",
        "NotPrincipal",
        "Condition",
    )
)
_PRINCIPAL_TYPES: Final = frozenset(("AWS", "Service", "Federated", "CanonicalUser"))
_WITH_PRINCIPAL: Final = frozenset((PolicyType.RESOURCE, PolicyType.TRUST, PolicyType.RESOURCE_CONTROL))

_IDENTIFIER: Final = re.compile(r"[0-9A-Za-z]*", re.ASCII)
_VENDOR_NAME: Final = re.compile(r"[0-9A-Za-z-]+", re.ASCII)
_PARTITION: Final = re.compile(r"\*|aws(-[a-z]+)*", re.ASCII)
_AWS_PRINCIPAL: Final = re.compile(
    r"\*|\d{12}"  # everyone; an account
    r"|A[A-Z]{3}[A-Z0-9]{12,124}(:[\w+=,.@-]{2,64})?"  # the unique id of what an ARN named before
    r"|arn:aws[a-z-]*:iam::\d{12}:(root|user/\S+|role/\S+)"
    r"|arn:aws[a-z-]*:sts::\d{12}:(assumed-role/[^/\s]+/[^/\s]+|federated-user/\S+|self)"
    r"|arn:aws[a-z-]*:iam::cloudfront:user/\S+",
    re.ASCII,
)
_SERVICE_PRINCIPAL: Final = re.compile(
    r"\*|[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?|[a-z0-9.-]+\.aws\.internal"
    r"|[a-z0-9-]+\.amazon\.com",  # such as alexa-appkit, whose skills invoke functions
    re.ASCII,
)
_FEDERATED_PRINCIPAL: Final = re.compile(
    r"arn:aws[a-z-]*:iam::\d{12}:(oidc-provider|saml-provider)/\S+"
    r"|cognito-identity\.amazonaws\.com|accounts\.google\.com|graph\.facebook\.com|www\.amazon\.com",
    re.ASCII,
)
_CANONICAL_USER: Final = re.compile(r"[0-9a-f]{64}|\S+", re.ASCII)
_PRINCIPAL_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    "AWS": _AWS_PRINCIPAL,
    "Service": _SERVICE_PRINCIPAL,
    "Federated": _FEDERATED_PRINCIPAL,
    "CanonicalUser": _CANONICAL_USER,
}

_EVERYONE: Final = (("AWS", ("*",)),)

_Object: TypeAlias = Mapping[str, Any]


class _Number(str):
    """A JSON number as it was written."""


class _DuplicateKey(Exception):
    """A JSON object says the same thing twice."""


def parse_document(text: str, policy_type: PolicyType = PolicyType.IDENTITY) -> PolicyDocument:
    """The document that `text` is. Raises MalformedPolicyDocument for what is wrong first."""
    document = _read(text, policy_type)
    is_trust = policy_type is PolicyType.TRUST
    _only_known(document, _TOP_FIELDS, is_trust)
    version = document.get("Version", LEGACY_VERSION)
    if version not in (LEGACY_VERSION, CURRENT_VERSION):
        _refuse(_SYNTAX)
    given = document.get("Statement")
    if isinstance(given, Mapping):
        given = [given]
    if not isinstance(given, list):
        _refuse("Missing required field Statement" if is_trust else _SYNTAX)
    if not given:
        _refuse("Could not parse the policy: Statement is empty!" if is_trust else _SYNTAX)
    identifier = document.get("Id")
    if identifier is not None and not _is_text(identifier):
        _refuse(_SYNTAX)
    statements = tuple(_statement(one, policy_type, version == CURRENT_VERSION) for one in given)
    _check_sids(statements, policy_type)
    return PolicyDocument(version=version, id=identifier, statements=statements)


def require_current_version(document: PolicyDocument) -> None:
    """Raises MalformedPolicyDocument for a document of the legacy language, as managed policies do."""
    if document.version != CURRENT_VERSION:
        _refuse("Policy document must be version 2012-10-17 or greater.")


def print_document(document: PolicyDocument) -> str:
    """The document as JSON, every list written as a list. Reading it gives the same document."""
    top: dict[str, Any] = {"Version": document.version}
    if document.id is not None:
        top["Id"] = document.id
    top["Statement"] = [_printed(statement) for statement in document.statements]
    return json.dumps(top, separators=(",", ":"))


def _printed(statement: Statement) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if statement.sid is not None:
        shown["Sid"] = statement.sid
    shown["Effect"] = statement.effect.value
    if statement.principals is not None:
        name = "NotPrincipal" if statement.principals.is_negated else "Principal"
        by_type = statement.principals.by_type
        shown[name] = "*" if by_type == _EVERYONE else {kind: list(values) for kind, values in by_type}
    shown["NotAction" if statement.is_not_action else "Action"] = list(statement.actions)
    if statement.resources:
        shown["NotResource" if statement.is_not_resource else "Resource"] = list(statement.resources)
    if statement.conditions:
        conditions: dict[str, dict[str, list[str]]] = {}
        for condition in statement.conditions:
            conditions.setdefault(condition.operator, {})[condition.key] = list(condition.values)
        shown["Condition"] = conditions
    return shown


def _read(text: str, policy_type: PolicyType) -> _Object:
    refusal = "This policy contains invalid Json" if policy_type is PolicyType.TRUST else _SYNTAX
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        _refuse(refusal)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError, _DuplicateKey) as error:
        raise MalformedPolicyDocument(refusal) from error
    if not isinstance(document, Mapping):
        _refuse(refusal)
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise _DuplicateKey
    return read


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _statement(given: Any, policy_type: PolicyType, has_variables: bool) -> Statement:
    is_trust = policy_type is PolicyType.TRUST
    if not isinstance(given, Mapping):
        _refuse(_SYNTAX)
    _only_known(given, _STATEMENT_FIELDS, is_trust)
    effect = _effect(given, is_trust)
    principals = _principals(given, policy_type, effect)
    actions, is_not_action = _either(given, "Action")
    if not actions:
        _refuse("Missing required field Action" if is_trust else "Policy statement must contain actions.")
    for action in actions:
        _check_action(action, is_trust)
    resources, is_not_resource = _resources(given, policy_type)
    sid = given.get("Sid")
    if sid is not None and not _is_text(sid):
        _refuse(_SYNTAX)
    return Statement(
        effect=effect,
        actions=actions,
        is_not_action=is_not_action,
        resources=resources,
        is_not_resource=is_not_resource,
        principals=principals,
        conditions=_conditions(given.get("Condition", {}), policy_type, has_variables),
        sid=sid,
    )


def _effect(given: _Object, is_trust: bool) -> Effect:
    effect = given.get("Effect")
    if effect is None:
        _refuse("Missing required field Effect" if is_trust else _SYNTAX)
    if effect not in ("Allow", "Deny"):
        _refuse(f"Invalid effect: {effect}" if is_trust else _LEGACY)
    return Effect(effect)


def _either(given: _Object, name: str) -> tuple[tuple[str, ...], bool]:
    """The values of an element or of its negation, and which of the two it is; empty without either."""
    negated = f"Not{name}"
    if name in given and negated in given:
        _refuse(_SYNTAX)
    is_negated = negated in given
    return _texts(given.get(negated if is_negated else name, [])), is_negated


def _texts(given: Any) -> tuple[str, ...]:
    if _is_text(given):
        return (given,)
    if not isinstance(given, list) or not all(_is_text(one) for one in given):
        _refuse(_SYNTAX)
    return tuple(given)


def _is_text(given: Any) -> bool:
    return isinstance(given, str) and not isinstance(given, _Number)


def _check_action(action: str, is_trust: bool) -> None:
    if is_trust:
        if not action.lower().startswith("sts:"):
            _refuse("AssumeRole policy may only specify STS AssumeRole actions.")
        return
    if action == "*":
        return
    vendor, colon, name = action.partition(":")
    if not vendor or not colon or not name:
        _refuse(_VENDOR)
    if ":" in name:
        _refuse("Actions/Condition can contain only one colon.")
    if "*" in vendor or "?" in vendor:
        _refuse("Action vendors (e.g., aws, ec2, etc.) must not contain wildcards.")
    if _VENDOR_NAME.fullmatch(vendor) is None:
        _refuse(f"Vendor {vendor} is not valid")


def _resources(given: _Object, policy_type: PolicyType) -> tuple[tuple[str, ...], bool]:
    if policy_type is PolicyType.TRUST:
        for name in ("Resource", "NotResource"):
            if name in given:
                _refuse(f"Has prohibited field {name}")
        return (), False
    resources, is_negated = _either(given, "Resource")
    if not resources:
        # SNS and SQS take a resource policy that names no resource: it is the one it is attached to.
        if policy_type is PolicyType.RESOURCE and not ("Resource" in given or "NotResource" in given):
            return (), False
        _refuse("Policy statement must contain resources.")
    for resource in resources:
        _check_resource(resource)
    return resources, is_negated


def _check_resource(resource: str) -> None:
    if resource == "*":
        return
    if not resource.startswith("arn:"):
        _refuse(f'Resource {resource} must be in ARN format or "*".')
    parts = resource.split(":", 5)
    if _PARTITION.fullmatch(parts[1]) is None:
        _refuse(f'Partition "{parts[1]}" is not valid for resource "{resource}".')
    if len(parts) < 6 and not resource.endswith("*"):
        _refuse(_LEGACY)
    if len(parts) == 6 and parts[2] == "iam" and parts[3] not in ("", "*"):
        _refuse(f"IAM resource {resource} cannot contain region information.")
    if len(parts) == 6 and parts[2] == "s3" and parts[3] not in ("", "*") and parts[4] == "":
        _refuse(f"Resource {resource} can not contain region information.")


def _principals(given: _Object, policy_type: PolicyType, effect: Effect) -> Principals | None:
    is_trust = policy_type is PolicyType.TRUST
    if policy_type not in _WITH_PRINCIPAL:
        if "Principal" in given or "NotPrincipal" in given:
            _refuse("Policy document should not specify a principal.")
        return None
    if policy_type is PolicyType.RESOURCE_CONTROL and given.get("Principal") != "*":
        _refuse(_NOT_OF_TYPE)
    if is_trust and "NotPrincipal" in given:
        _refuse("AssumeRole policy must not contain NotPrincipal field.")
    if "Principal" in given and "NotPrincipal" in given:
        _refuse(_SYNTAX)
    is_negated = "NotPrincipal" in given
    element = given.get("NotPrincipal" if is_negated else "Principal")
    if element is None or element == {}:
        _refuse("Missing required field Principal" if is_trust else _SYNTAX)
    if is_negated and effect is Effect.ALLOW:
        _refuse("Allow with NotPrincipal is not allowed.")  # it would let anonymous callers in
    if element == "*":
        return Principals(is_negated=is_negated, by_type=_EVERYONE)
    if not isinstance(element, Mapping):
        _refuse(f'Invalid principal in policy: "{element}"' if _is_text(element) else _SYNTAX)
    return Principals(is_negated=is_negated, by_type=tuple(_of_type(*entry) for entry in element.items()))


def _of_type(kind: str, given: Any) -> tuple[str, tuple[str, ...]]:
    if kind not in _PRINCIPAL_TYPES:
        _refuse(f'Invalid principal in policy: "{kind.upper()}"')
    values = _texts(given)
    if not values:
        _refuse(_SYNTAX)
    form = _PRINCIPAL_FORMS[kind]
    for value in values:
        if form.fullmatch(value) is None:
            _refuse(f'Invalid principal in policy: "{kind.upper()}":"{value}"')
    return kind, values


def _conditions(given: Any, policy_type: PolicyType, has_variables: bool) -> tuple[Condition, ...]:
    if not isinstance(given, Mapping):
        _refuse(_SYNTAX)
    found = []
    for name, keys in given.items():
        operator = parse_operator(name)
        if operator is None:
            _refuse(f"Invalid Condition type : {name}" if policy_type in _WITH_PRINCIPAL else _SYNTAX)
        if not isinstance(keys, Mapping):
            _refuse(_SYNTAX)
        for key, values in keys.items():
            if not all(key.partition(":")):
                _refuse(_VENDOR)
            found.append(Condition(name, key, _condition_values(values, operator, has_variables)))
    return tuple(found)


def _condition_values(given: Any, operator: Operator, has_variables: bool) -> tuple[str, ...]:
    values = tuple(_scalar(one) for one in (given if isinstance(given, list) else [given]))
    if not values or not all(is_value_of(operator.base, value, has_variables) for value in values):
        _refuse(_SYNTAX)
    return values


def _scalar(given: Any) -> str:
    if isinstance(given, bool):
        return "true" if given else "false"
    if not isinstance(given, str):
        _refuse(_SYNTAX)
    return str(given)


def _check_sids(statements: tuple[Statement, ...], policy_type: PolicyType) -> None:
    sids = [statement.sid for statement in statements if statement.sid]
    if policy_type is not PolicyType.RESOURCE and not all(_IDENTIFIER.fullmatch(sid) for sid in sids):
        _refuse(_SID)
    if len(sids) != len(set(sids)):
        _refuse("Statement IDs (SID) in a single policy must be unique.")


def _only_known(given: _Object, known: frozenset[str], is_trust: bool) -> None:
    for name in given:
        if name not in known:
            _refuse(f"Unknown field {name}" if is_trust else _SYNTAX)


def _refuse(message: str) -> NoReturn:
    raise MalformedPolicyDocument(message)
