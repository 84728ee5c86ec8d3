"""A role's trust policy as it is asked: the users and roles that it names are those who bore the names when
it was written. Whoever was made anew under one of them is not trusted."""

from collections.abc import Mapping

import msgspec

from squib.iam.compiled import PolicySet, policy_set
from squib.iam.document import parse_document
from squib.model.entity import Role
from squib.model.errors import MalformedPolicyDocument, PlatformError
from squib.model.policy import PolicyType, Statement
from squib.store.identities import Identities


def trust_of(role: Role, identities: Identities) -> PolicySet:
    """The policy, ready for `iam.trust`. Raises PlatformError for one that this squib cannot read."""
    try:
        document = parse_document(role.trust_policy, PolicyType.TRUST)
    except MalformedPolicyDocument as error:
        raise PlatformError(f"the trust policy of {role.arn} cannot be read: {error.message}") from error
    gone = {
        arn: unique_id
        for arn, unique_id in role.trusted_ids.items()
        if (entity := identities.by_arn(arn)) is None or entity.unique_id != unique_id
    }
    if gone:
        statements = tuple(_without(statement, gone) for statement in document.statements)
        document = msgspec.structs.replace(document, statements=statements)
    return policy_set(PolicyType.TRUST, [(role.arn, document)])


def _without(statement: Statement, gone: Mapping[str, str]) -> Statement:
    """The statement with the unique ids of those who are gone in place of their names."""
    if statement.principals is None:
        return statement
    by_type = tuple(
        (kind, tuple(gone.get(value, value) for value in values))
        for kind, values in statement.principals.by_type
    )
    principals = msgspec.structs.replace(statement.principals, by_type=by_type)
    return msgspec.structs.replace(statement, principals=principals)
