"""Extensions for tests: small programs as a layer has them in its folder `extensions`."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from harness.functions import Function, zip_of
from harness.squib import Squib, unique_name

HANDLER: Final = "def handler(event, context):\n    print('handling')\n    return 'done'\n"

CLIENT: Final = '''#!/usr/bin/env python3
"""What each extension of the tests begins with: calls of the Extensions API."""
import http.client, json, os, sys, threading, time

NAME = os.path.basename(sys.argv[0])
IDENTIFIER = ""


def call(method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    given = {"Lambda-Extension-Identifier": IDENTIFIER, **(headers or {})}
    connection.request(method, path, None if body is None else json.dumps(body), given)
    answer = connection.getresponse()
    return answer.status, dict(answer.headers), answer.read()


def register(events=("INVOKE", "SHUTDOWN"), name=NAME, **headers):
    global IDENTIFIER
    headers = {"Lambda-Extension-Name": name, **headers}
    status, fields, body = call("POST", "/2020-01-01/extension/register", {"events": events}, headers)
    IDENTIFIER = fields.get("Lambda-Extension-Identifier", "")
    return status, body


def next_event():
    status, fields, body = call("GET", "/2020-01-01/extension/event/next")
    return json.loads(body)


def say(*words):
    print(NAME, *words, flush=True)
'''

ECHO: Final = (
    CLIENT
    + """
status, about = register(**{"Lambda-Extension-Accept-Feature": "accountId"})
say("registered", status, about.decode())
say("variables", sorted(name for name in os.environ))
while True:
    event = next_event()
    say("event", json.dumps(event))
    if event["eventType"] == "SHUTDOWN":
        break
"""
)
"""Prints all that it is told."""

SUBSCRIBER: Final = (
    CLIENT
    + """
PROTOCOL, PORT = "HTTP", 8077
received = []


def listen_http():
    import http.server

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("0.0.0.0", PORT), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def listen_tcp():
    import socket

    server = socket.create_server(("0.0.0.0", PORT))

    def serve():
        connection, _ = server.accept()
        for line in connection.makefile():
            received.append(json.loads(line))

    threading.Thread(target=serve, daemon=True).start()


def subscribe(api="2022-07-01/telemetry", version="2022-12-13", types=("platform", "function"), **more):
    destination = {"protocol": PROTOCOL, "URI": f"{PROTOCOL.lower()}://sandbox.localdomain:{PORT}/in"}
    body = {"schemaVersion": version, "types": types, "destination": destination,
            "buffering": {"timeoutMs": 25, "maxItems": 1000}, **more}
    return call("PUT", f"/{api}", body)
"""
)
"""Receives telemetry: `listen_http` or `listen_tcp`, then `subscribe`; what has come is in `received`."""


def deploy(squib: Squib, extensions: Mapping[str, str], source: str = HANDLER, **more: Any) -> Function:
    """Deploys a function with a layer of extensions, by file name."""
    files = {f"extensions/{name}": text for name, text in extensions.items()}
    answer = squib.client().publish_layer_version(
        LayerName=unique_name("layer"), Content={"ZipFile": zip_of(files)}
    )
    return squib.deploy(source, Layers=[answer["LayerVersionArn"]], MemorySize=512, **more)


def messages(squib: Squib, function: Function) -> list[str]:
    """All of the function's log."""
    pages = squib.client("logs").get_paginator("filter_log_events")
    group = f"/aws/lambda/{function.name}"
    return [event["message"] for page in pages.paginate(logGroupName=group) for event in page["events"]]


def wait_for(squib: Squib, function: Function, wanted: Callable[[list[str]], bool]) -> list[str]:
    """The function's log, once it is as wanted."""
    deadline = time.monotonic() + 10
    while True:
        found = messages(squib, function)
        if wanted(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def is_over(count: int) -> Callable[[list[str]], bool]:
    """So many invocations are, their extensions included: the environment takes another."""
    return lambda found: sum(line.startswith("REPORT") for line in found) == count


def events_of(lines: list[str], name: str) -> list[Any]:
    """What an ECHO extension was told."""
    start = f"{name} event "
    return [json.loads(line.removeprefix(start)) for line in lines if line.startswith(start)]
