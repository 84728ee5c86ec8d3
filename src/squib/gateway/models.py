"""Service models, read from botocore's data files when a service is first asked for.

botocore itself is not imported: its loader and model classes hold ten times the memory of ours.
"""

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from squib.gateway.wire.query_compatible import as_query
from squib.gateway.wire.service_model import ServiceModel
from squib.model.errors import PlatformError

SERVICES: Final = ("lambda", "logs", "sts", "iam", "sqs", "monitoring", "xray")
"""The services whose wire is spoken, by the name in credential scopes. Which operations are built is another
matter."""

_FOLDERS: Final = {"monitoring": "cloudwatch"}
"""botocore's, where a service signs by another name."""
_FILE: Final = "service-2.json.gz"


class ServiceModels:
    """The models of `SERVICES`, each read once."""

    def __init__(self, data: Path | None = None) -> None:
        """`data` is botocore's data folder; found by itself when None."""
        self._data = data
        self._models: dict[str, ServiceModel] = {}
        self._query_models: dict[str, ServiceModel] = {}

    def get(self, service: str) -> ServiceModel:
        """The model of a service. The first call for each reads a file (about 5 ms). Raises PlatformError."""
        model = self._models.get(service)
        if model is None:
            model = self._models[service] = ServiceModel(service, read_model_file(service, self._data))
        return model

    def spoken(self, service: str, protocol: str) -> ServiceModel:
        """The model in the words of `protocol`, where the service speaks several. Raises PlatformError."""
        model = self.get(service)
        if protocol != "query" or model.metadata.protocol == "query" or model.metadata.xml_namespace:
            return model  # it says what the query protocol needs
        found = self._query_models.get(service)
        if found is None:
            found = self._query_models[service] = as_query(model)
        return found


def read_model_file(service: str, data: Path | None = None) -> bytes:
    """The JSON of the newest model of a service. Raises PlatformError when there is none."""
    folder = (data or _botocore_data()) / _FOLDERS.get(service, service)
    files = sorted(folder.glob(f"*/{_FILE}"))
    if not files:
        raise PlatformError(f"no model of {service} in {folder}")
    return gzip.decompress(files[-1].read_bytes())


def _botocore_data() -> Path:
    spec = find_spec("botocore")
    if spec is None or spec.origin is None:
        raise PlatformError("botocore is not installed")
    return Path(spec.origin).parent / "data"
