"""The memory budget on a live squib: counted by the kernel, held by ending what was used least recently."""

from harness.machine import eventually
from harness.squib import Squib

HELD_MIB = 40
HANDLER = f"""
HELD = bytearray({HELD_MIB} << 20)
STARTED = __import__("time").time()
def handler(event, context):
    return STARTED
"""


def test_environments_used_least_recently_end_when_memory_is_short() -> None:
    with Squib("--memory-budget", str(3 * HELD_MIB)) as squib:
        functions = [squib.deploy({"app.py": HANDLER}, MemorySize=256) for _ in range(3)]
        first, second, third = functions
        started = {one.name: one.invoke().value for one in (first, second)}
        assert first.invoke().value == started[first.name], "there is memory for two"
        third.invoke()
        assert first.invoke().value == started[first.name], "it was used more recently"

        def has_ended() -> bool:
            answer = squib.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{second.name}")
            return sum(event["message"].startswith("INIT_START") for event in answer["events"]) == 2

        assert second.invoke().value != started[second.name]
        eventually(has_ended, what="a second environment of the function that made room")
