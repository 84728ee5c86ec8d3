"""SIGTERM while events come in: what runs ends, what waits stays on disk."""

import botocore.exceptions
import pytest

from harness.machine import eventually
from harness.squib import Squib, new_data_dir
from harness.stored import stored_events

pytestmark = pytest.mark.slow
REGION = "eu-west-1"


def test_what_runs_at_sigterm_ends_and_what_waits_stays(request: pytest.FixtureRequest) -> None:
    source = """
import time
def handler(event, context):
    print("begins", event)
    time.sleep(4)
    print("ends", event)
"""
    squib = Squib(data_dir=new_data_dir())
    squib.owns_data = True
    request.addfinalizer(squib._forget)
    squib.start()
    function = squib.deploy(source)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    for number in range(2):
        function.client.invoke(FunctionName=function.name, InvocationType="Event", Payload=b"%d" % number)

    def said(word: str) -> list[str]:
        try:
            events = squib.client("logs", REGION).filter_log_events(
                logGroupName=f"/aws/lambda/{function.name}", filterPattern=word
            )
        except botocore.exceptions.ClientError:  # no log yet
            return []
        return [event["message"].strip() for event in events["events"]]

    eventually(lambda: said("begins"))
    assert squib.stop() == 0
    assert stored_events(squib) == 1
    squib.start()
    eventually(lambda: stored_events(squib) == 0, within_s=20)
    assert said("begins") == ["begins 0", "begins 1"]
    assert said("ends") == ["ends 0", "ends 1"]
    assert squib.stop() == 0
