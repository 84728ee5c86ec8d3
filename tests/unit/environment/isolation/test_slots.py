"""Slots on a disk that is nearly full."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from squib.environment.isolation.network import NetworkPlan
from squib.environment.isolation.slots import Slot
from squib.environment.isolation.tmp_images import RESERVE_BYTES, TmpImages

GIB = 1 << 30


def disk(total_bytes: int, free_bytes: int) -> Callable[[Path], SimpleNamespace]:
    found = SimpleNamespace(f_frsize=4096, f_blocks=total_bytes // 4096, f_bavail=free_bytes // 4096)
    return lambda path: found


@pytest.mark.parametrize(
    ("total_bytes", "free_bytes", "is_refused"),
    [
        (100 * GIB, RESERVE_BYTES, False),
        (100 * GIB, RESERVE_BYTES - 4096, True),
        (2 * GIB, GIB // 2, False),  # a small disk: a twentieth
        (2 * GIB, GIB // 16, True),
    ],
)
def test_no_image_is_begun_when_the_disk_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total_bytes: int, free_bytes: int, is_refused: bool
) -> None:
    images = TmpImages(tmp_path)
    monkeypatch.setattr(os, "statvfs", disk(total_bytes, free_bytes))
    if is_refused:
        with pytest.raises(OSError, match="nearly full") as refused:
            images.check_reserve()
        assert refused.value.errno == errno.ENOSPC
    else:
        images.check_reserve()


@pytest.mark.skipif(os.getuid() != 0, reason="makes a network namespace")
def test_slot_is_neither_prepared_nor_resized_when_the_disk_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = Slot(
        0,
        plan=NetworkPlan(tag="fe", outside=False),
        cgroups=None,
        images=TmpImages(tmp_path),
        nodes=tmp_path,
        owner_uid=0,
        endpoint_port=4566,
    )
    try:
        monkeypatch.setattr(os, "statvfs", disk(100 * GIB, 0))
        with pytest.raises(OSError, match="nearly full"):
            slot.prepare()
        with pytest.raises(OSError, match="nearly full"):
            slot.resize_tmp(1024)
        assert list(tmp_path.iterdir()) == []
    finally:
        slot.close()
