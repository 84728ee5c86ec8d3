"""What callers are told of failures."""

import json

import pytest

from squib.environment import failure
from squib.environment.driver import End, EndCause

ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

CASES = [
    (failure.timed_out(3), "Sandbox.Timedout", f"RequestId: {ID} Error: Task timed out after 3.00 seconds"),
    (
        failure.ended(End(cause=EndCause.EXITED, status=0)),
        "Runtime.ExitError",
        f"RequestId: {ID} Error: Runtime exited without providing a reason",
    ),
    (
        failure.ended(End(cause=EndCause.EXITED, status=3)),
        "Runtime.ExitError",
        f"RequestId: {ID} Error: Runtime exited with error: exit status 3",
    ),
    (
        failure.ended(End(cause=EndCause.SIGNALED, status=9)),
        "Runtime.ExitError",
        f"RequestId: {ID} Error: Runtime exited with error: signal: killed",
    ),
    (
        failure.ended(End(cause=EndCause.SIGNALED, status=11)),
        "Runtime.ExitError",
        f"RequestId: {ID} Error: Runtime exited with error: signal: segmentation fault (core dumped)",
    ),
    (
        failure.ended(End(cause=EndCause.OUT_OF_MEMORY, status=9)),
        "Runtime.OutOfMemory",
        f"RequestId: {ID} Error: Runtime exited with error: signal: killed",
    ),
    (
        failure.response_too_large(),
        "Function.ResponseSizeTooLarge",
        "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    ),
]


@pytest.mark.parametrize(("case", "error_type", "message"), CASES)
def test_platform_failures_have_lambdas_words(case: failure.Failure, error_type: str, message: str) -> None:
    outcome = case.outcome(ID, "$LATEST")
    assert json.loads(outcome.payload) == {"errorType": error_type, "errorMessage": message}
    assert (outcome.error_type, outcome.handled, outcome.executed_version) == (
        error_type,
        "Unhandled",
        "$LATEST",
    )


def test_what_the_runtime_posted_is_passed_on_as_it_is() -> None:
    body = b'{"errorMessage": "no", "errorType": "ValueError", "stackTrace": []}'
    assert failure.posted("ValueError", body).outcome(ID, "1").payload is body
    assert not failure.posted("ValueError", body).is_platform
    assert failure.init_error(None, body).is_platform
