"""Whether Lambda may take on a role for a function: it must exist, and trust the service."""

from squib.access.role_trust import trust_of
from squib.iam.trust import trusts_service
from squib.store.identities import Identities

LAMBDA = "lambda.amazonaws.com"


class ExecutionRoles:
    """Roles as functions use them. On the event loop only."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    def trusts_lambda(self, role_arn: str) -> bool:
        """Whether a function may have the role."""
        role = self._identities.role_by_arn(role_arn)
        return role is not None and trusts_service(trust_of(role), LAMBDA, role_arn=role_arn)
