"""Users and roles that stored policies name: those who bore the names when the policy was written.

With a policy are kept the unique ids of whom it names, and by these it is asked: whoever is made anew under
a name that became free gets nothing along with it. Shown are ARNs again, and the id of one who is gone (IAM
User Guide, "Principal": "IAM user principals", "IAM role principals").

Names in accounts that squib does not have are taken as they are: nobody of it can call before there is such
an account.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from squib.model.account import ACCOUNTS, account_key
from squib.model.entity import ROLES, USERS, Role, User, entity_key
from squib.model.item import GLOBAL, ItemKey, Kind
from squib.model.policy import PolicyDocument, Statement
from squib.model.units import AccountId
from squib.store.base import Reader

_NAMED: Final = re.compile(
    r"arn:aws:(?:iam::(?P<account>\d{12}):(?P<kind>user|role)/(?:[\x21-\x7e]+/)?(?P<name>[^/]+)"
    r"|sts::(?P<owner>\d{12}):assumed-role/(?P<role>[^/]+)/(?P<session>[^/]+))",
    re.ASCII,
)
_ELEMENTS: Final = ("Principal", "NotPrincipal")


class Ids(NamedTuple):
    """Whom a policy names."""

    by_arn: Mapping[str, str]
    """Unique ids of users and roles; `ID:SESSION` of a role's session."""
    missing: Sequence[str]
    """ARNs, in an account that is there, of nobody."""


def unique_ids(reader: Reader, document: PolicyDocument) -> Ids:
    """Of those in squib's own accounts, as they are now."""
    found: dict[str, str] = {}
    missing = []
    for arn in _arns(document):
        named = _NAMED.fullmatch(arn)
        if named is None:
            continue
        account_id = AccountId(named["account"] or named["owner"])
        if reader.get(ACCOUNTS, account_key(account_id)) is None:
            continue
        unique_id = _unique_id(reader, arn, named, account_id)
        if unique_id is None:
            missing.append(arn)
        else:
            found[arn] = unique_id
    return Ids(found, missing)


def by_id(document: PolicyDocument, ids: Mapping[str, str]) -> PolicyDocument:
    """The document as it is to be asked: with unique ids in place of the ARNs whose ids are known."""
    if not ids:
        return document
    return msgspec.structs.replace(
        document, statements=tuple(_by_id(statement, ids) for statement in document.statements)
    )


def shown(document: Mapping[str, Any], ids: Mapping[str, str], reader: Reader) -> Mapping[str, Any]:
    """The document as it is to be read: where another bears the name now, or nobody does, with the ARN that
    its bearer has now, else with the unique id."""
    names = _changed(ids, reader)
    if not names:
        return document
    statements = document["Statement"]
    given = statements if isinstance(statements, list) else [statements]
    return {**document, "Statement": [_renamed(statement, names) for statement in given]}


def shown_text(text: str, ids: Mapping[str, str], reader: Reader) -> str:
    """The same for a document that is kept as it was given: unless somebody is gone, it is shown so too."""
    if not _changed(ids, reader):
        return text
    return msgspec.json.encode(shown(json.loads(text), ids, reader)).decode()


def _arns(document: PolicyDocument) -> Iterator[str]:
    for statement in document.statements:
        if statement.principals is not None:
            yield from dict(statement.principals.by_type).get("AWS", ())


def _unique_id(reader: Reader, arn: str, named: re.Match[str], account_id: AccountId) -> str | None:
    if named["session"] is not None:
        role = reader.get(ROLES, entity_key(account_id, named["role"]))
        return None if role is None or role.name != named["role"] else f"{role.unique_id}:{named['session']}"
    kind: Kind[ItemKey, Any] = USERS if named["kind"] == "user" else ROLES
    entity: User | Role | None = reader.get(kind, entity_key(account_id, named["name"]))
    return None if entity is None or entity.arn != arn else entity.unique_id


def _by_id(statement: Statement, ids: Mapping[str, str]) -> Statement:
    if statement.principals is None:
        return statement
    by_type = tuple(
        (kind, tuple(ids.get(value, value) for value in values))
        for kind, values in statement.principals.by_type
    )
    principals = msgspec.structs.replace(statement.principals, by_type=by_type)
    return msgspec.structs.replace(statement, principals=principals)


def _changed(ids: Mapping[str, str], reader: Reader) -> Mapping[str, str]:
    """What stands now for the ARNs whose bearers have them no more."""
    names = {}
    for arn, unique_id in ids.items():
        named = _NAMED.fullmatch(arn)
        account_id = AccountId("" if named is None else named["account"] or named["owner"])
        if named is None or _unique_id(reader, arn, named, account_id) != unique_id:
            names[arn] = _arn_of(unique_id, account_id, reader) or unique_id
    return names


def _arn_of(unique_id: str, account_id: AccountId, reader: Reader) -> str | None:
    """Of a user under another name: roles keep theirs."""
    users = reader.page(USERS, account_id, GLOBAL)
    return next((user.arn for user in users if user.unique_id == unique_id), None)


def _renamed(statement: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    elements = {name: _element(statement[name], names.get) for name in _ELEMENTS if name in statement}
    return {**statement, **elements}


def _element(element: Any, name_of: Callable[[str, str], str]) -> Any:
    if not isinstance(element, dict) or "AWS" not in element:
        return element
    values = element["AWS"]
    if isinstance(values, list):
        return {**element, "AWS": [name_of(value, value) for value in values]}
    return {**element, "AWS": name_of(values, values)}
