"""What `squib serve` makes while it still has its privileges: the listening socket, and the launcher."""

import errno
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from squib.access.organization import Organization
from squib.config import Settings
from squib.config.elsewhere import elsewhere
from squib.environment.drivers.sandbox import start_launcher
from squib.environment.isolation import privileges
from squib.environment.isolation.launcher import LauncherOptions
from squib.environment.isolation.rootfs import root_spec
from squib.environment.runtimes import Runtime, RuntimeSearch, discover, known_names, unavailable_reason
from squib.invoke.upstream import Elsewhere
from squib.model.errors import PlatformError
from squib.model.limits import FILE_DESCRIPTORS
from squib.model.runtime import SUPPORTED

SPARE_SLOTS = 64  # blank sandboxes, and slots being cleaned
CLONE_SLOTS = 2  # for each environment, which may be a template and have as many clones ready
MAX_SLOTS = 16_000  # as many as a squib has addresses for
READY_SLOTS = 12


@dataclass(frozen=True, slots=True)
class Machine:
    """What was made while squib still had its privileges."""

    listener: socket.socket
    runtimes: Mapping[str, Runtime]
    unavailable: Mapping[str, str]
    """Why the other known runtimes can't run here, by name."""
    launcher: socket.socket | None
    """Control socket of the launcher; None for plain isolation."""
    organization: Organization
    elsewhere: Elsewhere
    is_isolation_wished: bool
    """The user asked for a sandbox: nothing less will do."""


def prepare(settings: Settings, account: privileges.Account | None) -> Machine:
    """Binds the port, looks for runtimes, starts the launcher. Raises PlatformError."""
    wanted = settings.identity.organization
    organization = Organization() if wanted is None else Organization.read(wanted)
    services = elsewhere(settings)
    listener = _listen(settings.server.host, settings.server.port)
    search = RuntimeSearch(
        extra_paths=settings.runtimes.runtime_path, runtime_dir=settings.runtimes.runtime_dir
    )
    runtimes = discover(search)
    wished = settings.isolation.isolation
    launcher = None
    if wished != "plain":
        launcher = _start_launcher(settings, account, listener.getsockname()[1], runtimes)
    names = SUPPORTED.union(known_names()) - runtimes.keys()
    unavailable = {name: unavailable_reason(name, search) for name in names}
    return Machine(listener, runtimes, unavailable, launcher, organization, services, wished == "sandbox")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        is_taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        advice = "choose another --port (0 takes a free one)" if is_taken else "choose another --host"
        raise PlatformError(f"can't listen on {host}:{port}: {error.strerror}; {advice}") from error
    return listener


def _start_launcher(
    settings: Settings, account: privileges.Account | None, port: int, runtimes: Mapping[str, Runtime]
) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.set_inheritable(theirs.fileno(), True)
    data_dir = settings.storage.data_dir.resolve()
    rootless = os.getuid() != 0
    options = LauncherOptions(
        control_fd=theirs.fileno(),
        run_dir=str(data_dir / "run"),
        code_dir=str(data_dir / "code"),
        daemon_uid=account.uid if account is not None else os.getuid(),
        uid_base=privileges.SANDBOX_UID_BASE,
        max_slots=min(settings.environments.max_environments * (1 + CLONE_SLOTS) + SPARE_SLOTS, MAX_SLOTS),
        ready_slots=min(READY_SLOTS, settings.environments.max_environments + SPARE_SLOTS),
        endpoint_port=port,
        outside=settings.isolation.function_network != "none" and not rootless,
        rootless=rootless,
        file_descriptors=FILE_DESCRIPTORS,
        roots={name: root_spec(runtime) for name, runtime in runtimes.items()},
    )
    start_launcher(options)
    theirs.close()
    return ours
