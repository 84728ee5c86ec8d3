"""STS: the identity of the caller, and temporary credentials."""

from squib.control_plane.sts.issuer import Issuer, IssuerOptions
from squib.control_plane.sts.lookup import Sts
from squib.control_plane.sts.service import StsService

__all__ = ["Issuer", "IssuerOptions", "Sts", "StsService"]
