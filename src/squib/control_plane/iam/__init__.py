"""IAM: users, groups, roles, policies and access keys as declared things."""

from squib.control_plane.iam.service import IamService

__all__ = ["IamService"]
