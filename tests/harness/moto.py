"""Queues and streams elsewhere: moto's server, in a process and an environment of its own."""

import re
import subprocess
import threading
from types import TracebackType
from typing import Any, Final

import boto3

from harness.clients import CLIENTS, program
from harness.squib import Squib, clean_environment

_READY: Final = re.compile(r"Running on (http://\S+)")
KEY: Final = {"aws_access_key_id": "elsewhere", "aws_secret_access_key": "secret"}


class Moto:
    """One server, as a context manager. Skips the test where it is not installed."""

    def __init__(self, account_id: str = "000000000000") -> None:
        self._account_id = account_id
        self._command = program("moto/bin/moto_server")
        self.url = ""

    def __enter__(self) -> "Moto":
        self._process = subprocess.Popen(
            [self._command, "-H", "127.0.0.1", "-p", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=CLIENTS,
            env=clean_environment(MOTO_ACCOUNT_ID=self._account_id, PYTHONUNBUFFERED="1"),
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := _READY.search(line):
                self.url = found[1]
                break
        assert self.url, "moto did not start"
        threading.Thread(target=self._process.stdout.read, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def served(self, *services: str, url: str = "", **more: str) -> Squib:
        """A squib, not started yet, that has these services here, or at `url`. More are its variables."""
        flags = [word for service in services for word in (f"--{service}-endpoint", url or self.url)]
        keys = {}
        for service in services:
            keys[f"SQUIB_{service.upper()}_ACCESS_KEY_ID"] = KEY["aws_access_key_id"]
            keys[f"SQUIB_{service.upper()}_SECRET_ACCESS_KEY"] = KEY["aws_secret_access_key"]
        return Squib(*flags, variables={**keys, **more})

    def client(self, service: str, region: str = "eu-west-1") -> Any:
        """A client of the SDK for it."""
        return boto3.client(service, region_name=region, endpoint_url=self.url, **KEY)
