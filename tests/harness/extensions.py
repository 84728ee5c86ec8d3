"""Extensions for tests: small programs as a layer has them in its folder `extensions`."""

from typing import Final

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
