"""A role's trust policy as it is asked: the users and roles that it names are those who bore the names when
it was written."""

from squib.access.named import by_id
from squib.iam.compiled import PolicySet, policy_set
from squib.iam.document import parse_document
from squib.model.entity import Role
from squib.model.errors import MalformedPolicyDocument, PlatformError
from squib.model.policy import PolicyType


def trust_of(role: Role) -> PolicySet:
    """The policy, ready for `iam.trust`. Raises PlatformError for one that this squib cannot read."""
    try:
        document = parse_document(role.trust_policy, PolicyType.TRUST)
    except MalformedPolicyDocument as error:
        raise PlatformError(f"the trust policy of {role.arn} cannot be read: {error.message}") from error
    return policy_set(PolicyType.TRUST, [(role.arn, by_id(document, role.trusted_ids))])
