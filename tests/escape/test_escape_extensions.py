"""Abuse of the Extensions, Telemetry and Logs APIs by a function that is its own extension."""

import time
from typing import Any, Final

from harness.functions import Function
from harness.machine import eventually
from harness.squib import Squib

HOSTILE: Final = r"""
import http.client, json, os, socket, threading

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
IDENTIFIER = "Lambda-Extension-Identifier"
found, identifiers, held = {}, [], []


def call(method, path, body=b"", **headers):
    connection = http.client.HTTPConnection(API, timeout=20)
    try:
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    except OSError as error:
        return type(error).__name__, {}, b""
    finally:
        connection.close()


def subscribe(number, destination, **more):
    body = {"schemaVersion": "2022-12-13", "types": ["platform", "function"], **more}
    body = json.dumps({**body, "destination": destination}).encode()
    return call("PUT", "/2022-07-01/telemetry", body, **{IDENTIFIER: identifiers[number]})[0]


registered = {}
for number in range(300):
    body = json.dumps({"events": ["INVOKE"]}).encode()
    name = {"Lambda-Extension-Name": f"e{number}"}
    status, headers, _ = call("POST", "/2020-01-01/extension/register", body, **name)
    registered[status] = registered.get(status, 0) + 1
    if status == 200:
        identifiers.append(headers[IDENTIFIER])
found["registered"] = registered
found["destinations"] = [
    subscribe(0, destination)
    for destination in (
        *({"protocol": "HTTP", "URI": uri} for uri in (
            "http://169.254.169.254:80/latest",
            "http://10.0.0.1:80/@sandbox.localdomain",
            "http://sandbox.localdomain@10.0.0.1:80/",
            "http://SANDBOX.localdomain:9001/",
            "http://sandbox.localdomain:8080/a b",
            "http://[::1]:8080/",
            "http://127.0.0.1:8080/",
            "file:///etc/passwd",
        )),
        {"protocol": "TCP", "port": 9001},
        {"protocol": "TCP", "port": 70000},
        {"protocol": "TCP", "port": True},
    )
]
own = {IDENTIFIER: identifiers[0]}
found["bodies"] = [
    call("PUT", "/2022-07-01/telemetry", b"[" * 5_000_000, **own)[0],
    call("PUT", "/2020-08-15/logs", b'{"a":' * 100_000, **own)[0],
]
again = {}
for number in range(300):
    status = subscribe(number % 10, {"protocol": "TCP", "port": 8000 + number})
    again[status] = again.get(status, 0) + 1
found["again"] = again


def accept(listener):
    while True:
        held.append(listener.accept()[0])  # and reads nothing


def follow(identifier):
    while True:
        call("GET", "/2020-01-01/extension/event/next", **{IDENTIFIER: identifier})


buffering = {"maxItems": 10000, "maxBytes": 1048576, "timeoutMs": 25}
for number, identifier in enumerate(identifiers):
    listener = socket.create_server(("127.0.0.1", 7000 + number))
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    subscribe(number, {"protocol": "TCP", "port": 7000 + number}, buffering=buffering)
    threading.Thread(target=follow, args=(identifier,), daemon=True).start()


def handler(event, context):
    for _ in range(event):
        print("x" * 20_000)
    return found
"""


def daemon_mib(squib: Squib) -> int:
    with open(f"/proc/{squib.process.pid}/status") as status:
        return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmRSS"))


def test_what_extensions_may_ask_for_is_bounded(squib: Squib, bystander: Function) -> None:
    bystander.invoke(1)
    before = daemon_mib(squib)
    function = squib.deploy(HOSTILE, MemorySize=512, Timeout=60)
    answer: Any = function.invoke(0).value
    assert answer["registered"] == {"200": 10, "403": 290}
    assert answer["destinations"] == [400] * 11
    assert answer["bodies"] == [400, 400]
    assert answer["again"] == {"200": 300}
    assert function.invoke(400).value == answer
    assert daemon_mib(squib) - before < 80, "ten subscribers that read nothing, and 8 MB for each"
    began_s = time.monotonic()
    assert bystander.invoke(2).value == 2
    assert time.monotonic() - began_s < 5
    function.delete()
    eventually(lambda: bystander.invoke(3).value == 3, what="others go on")
