"""Policy documents as operations take them: read and judged by `iam.document`, sized by IAM's quotas."""

from squib.iam.document import parse_document, require_current_version
from squib.model.iam_limits import MANAGED_POLICY_CHARACTERS, TRUST_POLICY_CHARACTERS
from squib.model.identity_errors import LimitExceeded
from squib.model.policy import PolicyDocument, PolicyType


def characters(text: str) -> int:
    """The length that quotas count: without white space."""
    return sum(map(len, text.split()))


def check_managed(text: str) -> None:
    """A document for a managed policy. Raises MalformedPolicyDocument, LimitExceeded."""
    require_current_version(parse_document(text, PolicyType.IDENTITY))
    if characters(text) > MANAGED_POLICY_CHARACTERS:
        raise LimitExceeded(f"Cannot exceed quota for PolicySize: {MANAGED_POLICY_CHARACTERS}")


def check_inline(text: str) -> None:
    """A document that stands with whom it is for. Raises MalformedPolicyDocument."""
    parse_document(text, PolicyType.IDENTITY)


def check_trust(text: str) -> PolicyDocument:
    """A document that says who may assume a role. Raises MalformedPolicyDocument, LimitExceeded."""
    document = parse_document(text, PolicyType.TRUST)
    if characters(text) > TRUST_POLICY_CHARACTERS:
        raise LimitExceeded(f"Cannot exceed quota for ACLSizePerRole: {TRUST_POLICY_CHARACTERS}")
    return document
