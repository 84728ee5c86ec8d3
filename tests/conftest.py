"""Fixtures of the tests that run a whole squib: one for all tests of a worker."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from harness.s3 import S3
from harness.squib import Squib, clean_environment

os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = "/dev/null"
os.environ["AWS_SHARED_CREDENTIALS_FILE"] = "/dev/null"

# How long an example takes says something of the machine, not of what holds.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """The S3 that `squib` reads code from. Tests keep apart by the buckets that they put objects into."""
    with S3() as running:
        yield running


@pytest.fixture(scope="session")
def squib(s3: S3) -> Iterator[Squib]:
    """A squib with full isolation where this machine allows it. Tests keep apart by function names."""
    with Squib("--s3-endpoint", s3.url) as running:
        yield running


@pytest.fixture(scope="session")
def ready_runtimes(squib: Squib) -> frozenset[str]:
    """The runtimes whose interpreters this machine has."""
    listing = squib.command("runtimes", "list", variables=clean_environment())
    rows = [line.split() for line in listing.stdout.splitlines()[1:]]
    return frozenset(row[0] for row in rows if row[1] == "ready")
