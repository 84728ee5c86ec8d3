"""Every handler has its row in the table of actions: without one, its calls would be refused."""

import pytest

from compat.scenarios.page import bare
from squib.control_plane.cloudwatch.service import CloudWatchService
from squib.control_plane.iam import IamService
from squib.control_plane.lambda_ import LambdaService
from squib.control_plane.logs.service import LogsService
from squib.control_plane.sqs.service import SqsService
from squib.control_plane.sts import StsService
from squib.gateway.actions.table import TABLE
from squib.invoke.synchronous import InvokeService


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("iam", IamService),
        ("lambda", LambdaService),
        ("lambda", InvokeService),
        ("logs", LogsService),
        ("monitoring", CloudWatchService),
        ("sqs", SqsService),
        ("sts", StsService),
    ],
)
def test_no_handler_is_without_a_row(name: str, service: type) -> None:
    operations = bare(service).handlers()
    assert operations
    assert {operation for operation in operations if (name, operation) not in TABLE} == set()
