"""Slots: the prepared places that sandboxes are put into, made ahead of need by the launcher.

Slot N is an account (uid base + N), a network namespace, a cgroup and a /tmp of its own. The namespace is
kept from one use to the next; cgroup, /tmp and listening sockets are new each time. A clone of a template
brings its own namespaces, and keeps the template's account.
"""

import contextlib
import os
import socket
from pathlib import Path

from squib.environment.isolation import adoption, clone_checks, confine
from squib.environment.isolation.cgroups import Cgroups
from squib.environment.isolation.network import NetworkPlan, SlotNetwork
from squib.environment.isolation.tmp_images import DEFAULT_TMP_MIB, TmpImage, TmpImages

RUNTIME_API_PORT = 9001


class Slot:
    """One slot. `prepare` before each use, `retire` after it until it says that nothing is left."""

    def __init__(
        self,
        number: int,
        *,
        plan: NetworkPlan,
        cgroups: Cgroups | None,
        images: TmpImages | None,
        nodes: Path,
        owner_uid: int | None,
        endpoint_port: int,
    ) -> None:
        self.number = number
        self._cgroups, self._images, self._nodes, self._owner_uid = cgroups, images, nodes, owner_uid
        self._ports = (RUNTIME_API_PORT, endpoint_port)
        self._tmp: TmpImage | None = None
        self._kept: int | None = None
        self.is_template = False
        """A snapshot of what runs in it was taken."""
        self._plan = plan
        self.network: SlotNetwork | None = None

    @property
    def _node(self) -> Path:
        return self._nodes / str(self.number)

    def prepare(self) -> list[socket.socket]:
        """Makes it ready for one sandbox; returns the listeners of the Runtime API and of the endpoint.
        Raises OSError."""
        self._make_place()
        if self.network is None:
            self.network = SlotNetwork(self._plan, self.number)
        return self.network.listen(*self._ports)

    def prepare_for_clone(self) -> None:
        """Makes it ready for a clone, which brings its network with it. Raises OSError."""
        self._make_place()
        self._close_network()

    def _make_place(self) -> None:
        if self._cgroups is not None:
            self._cgroups.create(self.number, owner_uid=self._owner_uid)
        self.resize_tmp(DEFAULT_TMP_MIB)

    def resize_tmp(self, size_mib: int) -> None:
        """Replaces /tmp by an empty one of another size. Raises OSError."""
        if self._images is None:
            return
        self._images.check_reserve()
        self._drop_tmp()
        self._tmp = self._images.make(size_mib)
        os.mknod(self._node, 0o600 | 0o060000, self._tmp.number)

    def take_snapshot(self) -> None:
        """Keeps what is in /tmp for clones of what runs here. Raises OSError."""
        if self._images is not None and self._tmp is not None:
            self._kept = self._tmp.keep(self._images)
        self.is_template = True

    def adopt(self, pidfd: int, template: "Slot", uid: int) -> tuple[list[socket.socket], int]:
        """Takes in a clone of what runs in another slot, under the account `uid`; returns listeners as
        `prepare` does, and the memory it holds. Raises NotAClone; OSError when there is no place for it."""
        cgroups, depth = self._cgroups, adoption.own_depth()
        if cgroups is None or not template.is_template:
            raise OSError("no snapshot was taken there")
        with adoption.candidate(pidfd) as clone:
            reason = clone_checks.refusal(
                clone.facts(),
                uid=uid,
                depth=depth,
                host_user=adoption.host_user_namespace(),
                members=cgroups.processes(template.number),
            )
            if reason is not None:
                raise adoption.NotAClone(reason)
            cgroups.copy_limits(template.number, self.number)
            cgroups.take_in(self.number, clone.pid)
            adoption.check_neighbours(clone, cgroups.processes(template.number), depth)
            self.network = SlotNetwork(self._plan, self.number, made=clone.namespaces["net"])
            tmp = self._tmp_mount(template)
            try:
                adoption.furnish(clone, tmp)
            finally:
                os.close(tmp)
            clone.alive()
            return self.network.listen(*self._ports), clone.resident_bytes()

    def _tmp_mount(self, template: "Slot") -> int:
        if self._images is None or self._tmp is None:
            options = {"size": str(DEFAULT_TMP_MIB << 20), "mode": "1777", "nr_inodes": "100k"}
            return confine.detached_mount("tmpfs", options, confine.MS_NOSUID | confine.MS_NODEV)
        if template._kept is not None:
            self._drop_tmp()
            self._tmp = self._images.copy(template._kept)
        return self._tmp.mount()

    def kill(self) -> None:
        """Kills every process in it."""
        if self._cgroups is not None:
            self._cgroups.kill(self.number)

    def _drop_tmp(self) -> None:
        if self._tmp is not None:
            self._node.unlink(missing_ok=True)
            self._tmp.close()
            self._tmp = None
        if self._kept is not None:
            os.close(self._kept)
            self._kept = None

    def _close_network(self) -> None:
        if self.network is not None:
            self.network.close()
            self.network = None

    def retire(self) -> bool:
        """Kills what is in it; True when all is gone, else call again."""
        if self._cgroups is not None:
            if not self._cgroups.kill(self.number):
                return False
            if not self._cgroups.remove(self.number):
                return False
        else:  # nobody tells when its last process has ended: the next one gets a network of its own
            self._close_network()
        self._drop_tmp()
        self.is_template = False
        return True

    def close(self) -> None:
        """Gives everything up."""
        with contextlib.suppress(OSError):
            self._drop_tmp()
        self._close_network()
