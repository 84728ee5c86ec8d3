"""Where a running squib listens, in `<data-dir>/endpoint.json`, for the commands that talk to it.

The server writes the file when it is ready and removes it when it stops; one killed leaves it behind, so a
reader asks `Endpoint.is_alive`.
"""

import ipaddress
import os
from pathlib import Path
from typing import Final

import msgspec

from squib.model.units import Region

FILE_NAME: Final = "endpoint.json"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a client needs to know of a running squib."""

    url: str
    pid: int
    region: Region = Region("us-east-1")

    def is_alive(self) -> bool:
        """Whether a process of that id runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def url_of(host: str, port: int) -> str:
    """The URL by which this machine reaches a listener on `host`: the loopback address for a wildcard."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://{'127.0.0.1' if address.version == 4 else '[::1]'}:{port}"
    return f"http://{address if address.version == 4 else f'[{address}]'}:{port}"


def write(data_dir: Path, endpoint: Endpoint) -> None:
    """Replaces the file as a whole; anybody who may enter the data directory may read it."""
    fresh = data_dir / (FILE_NAME + ".new")
    fresh.write_bytes(msgspec.json.encode(endpoint) + b"\n")
    os.replace(fresh, data_dir / FILE_NAME)


def read(data_dir: Path) -> Endpoint | None:
    """What the last server wrote; None when it stopped in good order, never was, or the file is damaged."""
    try:
        return msgspec.json.decode((data_dir / FILE_NAME).read_bytes(), type=Endpoint)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def remove(data_dir: Path) -> None:
    """Removes the file; idempotent."""
    (data_dir / FILE_NAME).unlink(missing_ok=True)
