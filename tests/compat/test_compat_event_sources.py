"""Event source mappings as tools of others make them."""

import json
from pathlib import Path

import pytest

from harness import clients
from harness.machine import eventually
from harness.sources import Queue
from harness.squib import Squib, unique_name

REGION = "eu-west-1"
CHALICE_APP = """
from chalice import Chalice

app = Chalice(app_name="{name}")


@app.on_sqs_message(queue="{queue}", batch_size=2, name="told")
def told(event):
    for record in event:
        print("told", record.body)
"""
pytestmark = pytest.mark.slow


def test_chalice_feeds_a_function_from_a_queue(squib: Squib, tmp_path: Path) -> None:
    chalice = clients.program("chalice/bin/chalice")
    name, queue = unique_name("fed"), Queue(squib, VisibilityTimeout=60)
    (tmp_path / ".chalice").mkdir()
    config = {"version": "2.0", "app_name": name, "stages": {"dev": {}}}
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(config))
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "app.py").write_text(CHALICE_APP.format(name=name, queue=queue.name))
    environment = clients.variables(squib, REGION)
    clients.run([chalice, "deploy"], tmp_path, environment)
    queue.send("hello", "there")
    eventually(lambda: queue.depth() == (0, 0), within_s=20)
    logs = [chalice, "logs", "-n", "told"]
    said = eventually(lambda: clients.run(logs, tmp_path, environment), what="the function has logged")
    assert "told hello" in said and "told there" in said
    lambda_ = squib.client("lambda", REGION)
    (mapping,) = lambda_.list_event_source_mappings(EventSourceArn=queue.arn)["EventSourceMappings"]
    assert mapping["BatchSize"] == 2
    clients.run([chalice, "delete"], tmp_path, environment)
    eventually(
        lambda: not lambda_.list_event_source_mappings(EventSourceArn=queue.arn)["EventSourceMappings"]
    )
