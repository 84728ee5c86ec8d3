"""STS: the identity of the caller."""

from squib.control_plane.sts.service import StsService

__all__ = ["StsService"]
