"""Quotas and lengths of IAM and STS (IAM user guide, "IAM and AWS STS quotas")."""

from typing import Final

USERS_PER_ACCOUNT: Final = 5_000
GROUPS_PER_ACCOUNT: Final = 300
ROLES_PER_ACCOUNT: Final = 1_000
POLICIES_PER_ACCOUNT: Final = 1_500
GROUPS_PER_USER: Final = 10
ACCESS_KEYS_PER_USER: Final = 2
ATTACHED_POLICIES: Final = 10  # per user, group or role
POLICY_VERSIONS: Final = 5
TAGS_PER_RESOURCE: Final = 50
MANAGED_POLICY_CHARACTERS: Final = 6_144  # white space is not counted, here and below
TRUST_POLICY_CHARACTERS: Final = 2_048
INLINE_POLICY_CHARACTERS: Final = {"user": 2_048, "group": 5_120, "role": 10_240}  # all of an entity together
MAX_USER_NAME_LENGTH: Final = 64
MAX_ROLE_NAME_LENGTH: Final = 64

DEFAULT_PAGE: Final = 100  # MaxItems, common to all lists
MAX_SESSION_POLICY_CHARACTERS: Final = 2_048  # AssumeRole reference, Policy
SESSION_POLICY_ARNS: Final = 10  # AssumeRole reference, PolicyArns
CHAINED_SESSION_S: Final = 3_600  # AssumeRole reference: role chaining
DEFAULT_SESSION_TOKEN_S: Final = 43_200  # GetSessionToken reference, DurationSeconds
ROOT_SESSION_TOKEN_S: Final = 3_600  # the same: of an account's root at most an hour
