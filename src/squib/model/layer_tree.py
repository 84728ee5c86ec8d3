"""Layers laid over each other: what /opt holds, decided before a file is linked. Pure.

Layers are laid in the order they are listed. Folders merge; anything else of a later layer takes the place of
what earlier ones have at its path, whole folders and links included: nothing is ever written through a link.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from squib.model.archive import ArchivePlan, check_links


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTree:
    """What /opt holds. Directories come before what lies in them."""

    directories: Sequence[bytes]
    files: Mapping[bytes, int]
    """Path -> position of the layer that it comes from."""
    links: Mapping[bytes, bytes]


def lay_over(plans: Sequence[ArchivePlan]) -> LayerTree:
    """The tree of the layers in their order. Raises InvalidArchive when links of several layers together lead
    outside, which none of them does alone."""
    found: dict[bytes, int | bytes | None] = {}  # a layer's position: file; a target: link; None: directory
    for position, plan in enumerate(plans):
        for path in plan.directories:
            found[path] = None
        leaves = (*(file.path for file in plan.files), *plan.links)
        _clear(found, {path for path in leaves if found.get(path, 0) is None})
        found.update((path, plan.links.get(path, position)) for path in leaves)
    links = {path: value for path, value in found.items() if isinstance(value, bytes)}
    check_links(links)
    return LayerTree(
        directories=sorted(path for path, value in found.items() if value is None),
        files={path: value for path, value in found.items() if isinstance(value, int)},
        links=links,
    )


def _clear(found: dict[bytes, int | bytes | None], folders: set[bytes]) -> None:
    """Removes the folders with all that is in them, in one pass however many they are."""
    if not folders:
        return
    gone = b""
    for path in sorted(found, key=lambda path: path.replace(b"/", b"\0")):  # a folder, then all that is in it
        if gone and path.startswith(gone):
            del found[path]
        elif path in folders:
            gone = path + b"/"
            del found[path]
