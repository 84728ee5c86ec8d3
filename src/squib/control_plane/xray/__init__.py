"""X-Ray: segments taken, traces given back."""

from squib.control_plane.xray.service import XRayService

__all__ = ["XRayService"]
