"""What the operations of STS work on."""

from dataclasses import dataclass

from squib.access.callers import CallerBook
from squib.access.denials import Denials
from squib.access.organization import Organization
from squib.control_plane.sts.issuer import Issuer
from squib.store.authorization_messages import AuthorizationMessages
from squib.store.identities import Identities
from squib.store.keyring import KeyRing


@dataclass(frozen=True, slots=True, kw_only=True)
class Sts:
    """Who is who, who may what, and who gives credentials."""

    identities: Identities
    callers: CallerBook
    organization: Organization
    denials: Denials
    """Where refusals are explained."""
    keyring: KeyRing
    messages: AuthorizationMessages
    issuer: Issuer | None
    """The OpenID Connect issuer whose tokens are believed; None when none is configured."""
