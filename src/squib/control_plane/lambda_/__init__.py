"""The Lambda control plane: functions, their code and their tags, as declared. It runs nothing."""

from squib.control_plane.lambda_.code import PREFIX, CodeLocations
from squib.control_plane.lambda_.service import LambdaOptions, LambdaService

__all__ = ["PREFIX", "CodeLocations", "LambdaOptions", "LambdaService"]
