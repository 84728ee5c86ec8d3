"""The Node.js runtime interface client: where handlers are found, how they answer, and how they fail."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from node_harness import ARN, LIMIT_S, NODES, invoke, major_version

from squib.environment.runtimes import Runtime

pytestmark = pytest.mark.skipif(not NODES, reason="no Node.js on this machine")


@pytest.fixture(params=NODES, ids=lambda one: one.name)
def node(request: pytest.FixtureRequest) -> Runtime:
    runtime = request.param
    assert isinstance(runtime, Runtime)
    return runtime


# --- forms of handlers

ECHO = "async (event) => ({ seen: event })"


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"index.js": f"exports.handler = {ECHO}"}, "index.handler"),
        ({"index.cjs": f"exports.handler = {ECHO}"}, "index.handler"),
        ({"index.mjs": f"export const handler = {ECHO}"}, "index.handler"),
        (
            {"index.js": f"export const handler = {ECHO}", "package.json": '{"type":"module"}'},
            "index.handler",
        ),
        (
            {"src/app.js": f"export const handler = {ECHO}", "package.json": '{"type":"module"}'},
            "src/app.handler",
        ),
        (
            {"src/app.js": f"exports.handler = {ECHO}", "package.json": '{"type":"commonjs"}'},
            "src/app.handler",
        ),
        (
            {"index.mjs": f"const f = await Promise.resolve({ECHO});\nexport {{ f as handler }}"},
            "index.handler",
        ),
        ({"lib/deep/file.js": f"exports.api = {{ v1: {{ run: {ECHO} }} }}"}, "lib/deep/file.api.v1.run"),
        ({"lib/deep/file.mjs": f"export default {{ run: {ECHO} }}"}, "lib/deep/file.default.run"),
        ({"lib/deep/file.mjs": f"export default {{ run: {ECHO} }}"}, "lib/deep/file.run"),
        ({"index": f"exports.handler = {ECHO}"}, "index.handler"),
        ({"app/index.js": f"exports.handler = {ECHO}"}, "app.handler"),
        ({"node_modules/pkg/index.js": f"exports.handler = {ECHO}"}, "pkg.handler"),
        ({"index.js": "exports.handler = (event) => Promise.resolve({ seen: event })"}, "index.handler"),
    ],
)
def test_every_place_and_kind_of_module(
    node: Runtime, tmp_path: Path, files: dict[str, str], handler: str
) -> None:
    run = invoke(node, tmp_path, files, [{"a": 1}, "two", None], handler=handler)
    assert run.answers() == [{"seen": {"a": 1}}, {"seen": "two"}, {"seen": None}]
    assert [post.path for post in run.posts] == [f"invocation/id-{n}/response" for n in range(3)]
    assert run.posts[0].headers["content-type"] == "application/json"
    assert (run.status, run.output) == (None, "")


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("async () => {}", None),
        ("async () => ({ text: 'žluťoučký 🐎' })", {"text": "žluťoučký 🐎"}),
        ("async () => undefined", None),
        ("async () => (() => 1)", None),
        ("async () => [1, 'a', true]", [1, "a", True]),
        ("() => new Promise(() => {})", None),
    ],
)
def test_what_is_answered(node: Runtime, tmp_path: Path, body: str, answer: Any) -> None:
    assert invoke(node, tmp_path, {"index.js": f"exports.handler = {body}"}).answers() == [answer]


CALLBACKS = [
    ("(event, context, callback) => callback(null, event.n)", 7),
    ("(event, context, callback) => { setTimeout(() => callback(null, event.n), 1) }", 7),
    ("(event, context, callback) => { callback(null, 1); callback(null, 2) }", 1),
    (
        "(event, context, callback) => { callback(null, done); setImmediate(() => { done.late = 1 }) }",
        {"late": 1},
    ),
    (
        "(event, context, callback) => { context.callbackWaitsForEmptyEventLoop = false;"
        " callback(null, 'now'); setInterval(() => {}, 1000) }",
        "now",
    ),
    ("(event, context) => { setInterval(() => {}, 1000); context.succeed({ n: event.n }) }", {"n": 7}),
    ("(event, context) => context.done(null, event.n)", 7),
    ("(event, context) => { setImmediate(() => {}) }", None),
    ("(event, context) => 'a plain return value is not an answer'", None),
    (
        "async (event, context, callback) => { callback(null, 'early'); return 'promise wins' }",
        "promise wins",
    ),
]


@pytest.mark.parametrize(("body", "answer"), CALLBACKS)
def test_callbacks_and_context_methods(node: Runtime, tmp_path: Path, body: str, answer: Any) -> None:
    if major_version(node) >= 24:
        pytest.skip("Node.js 24 has no callbacks")
    source = f"const done = {{}};\nexports.handler = {body}"
    assert invoke(node, tmp_path, {"index.js": source}, [{"n": 7}, {"n": 7}]).answers() == [answer, answer]


def test_failing_by_callback_and_context(node: Runtime, tmp_path: Path) -> None:
    if major_version(node) >= 24:
        pytest.skip("Node.js 24 has no callbacks")
    source = """
      exports.handler = (how, context, callback) => {
        if (how === 'callback') callback(new TypeError('by callback'));
        else if (how === 'text') callback('a string');
        else context[how](new RangeError('by context'));
      }"""
    run = invoke(node, tmp_path, {"index.js": source}, ["callback", "text", "fail", "done"])
    told = [(post.json()["errorType"], post.json()["errorMessage"]) for post in run.posts]
    assert told == [
        ("TypeError", "by callback"),
        ("string", "a string"),
        ("RangeError", "by context"),
        ("RangeError", "by context"),
    ]


def test_node_24_refuses_callbacks_and_takes_plain_returns(node: Runtime, tmp_path: Path) -> None:
    if major_version(node) < 24:
        pytest.skip("callbacks end with Node.js 24")
    run = invoke(node, tmp_path, {"index.js": "exports.handler = (event, context, callback) => {}"})
    assert run.posts[0].path == "init/error"
    assert run.posts[0].json()["errorType"] == "Runtime.CallbackHandlerDeprecated"
    assert (
        run.posts[0]
        .json()["errorMessage"]
        .startswith("ERROR: AWS Lambda has removed support for callback-based function handlers")
    )
    source = "exports.handler = (event, context) => ({ n: event.n, done: typeof context.done })"
    run = invoke(node, tmp_path, {"index.js": source}, [{"n": 7}])
    assert run.answers() == [{"n": 7, "done": "undefined"}]


def test_context_and_variables(node: Runtime, tmp_path: Path) -> None:
    source = """
      exports.handler = async (event, context) => ({
        context: JSON.parse(JSON.stringify(context)),
        remaining: context.getRemainingTimeInMillis(),
        trace: process.env._X_AMZN_TRACE_ID ?? null,
        fd: process.env._LAMBDA_TELEMETRY_LOG_FD ?? null,
        path: process.env.NODE_PATH,
      })"""
    headers = {
        "Lambda-Runtime-Client-Context": '{"custom":{"k":"ž"}}',
        "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"i"}',
    }
    run = invoke(node, tmp_path, {"index.js": source}, headers=headers, is_framed=True)
    [answer] = run.answers()
    context = answer["context"]
    assert context.pop("callbackWaitsForEmptyEventLoop", None) is (
        None if major_version(node) >= 24 else True
    )
    assert context == {
        "functionVersion": "$LATEST",
        "functionName": "hello",
        "memoryLimitInMB": "128",
        "logGroupName": "/aws/lambda/hello",
        "logStreamName": "2026/01/02/[$LATEST]0123",
        "clientContext": {"custom": {"k": "ž"}},
        "identity": {"cognitoIdentityId": "i"},
        "invokedFunctionArn": ARN,
        "awsRequestId": "id-0",
    }
    assert answer["remaining"] > 1e9
    assert (answer["trace"], answer["fd"]) == ("Root=1-0", None)
    assert answer["path"].split(":")[:2] == [
        f"/opt/nodejs/node{major_version(node)}/node_modules",
        "/opt/nodejs/node_modules",
    ]


def test_trace_id_goes_when_an_invocation_has_none(node: Runtime, tmp_path: Path) -> None:
    source = """
      process.env._X_AMZN_TRACE_ID = 'left over';
      exports.handler = async () => process.env._X_AMZN_TRACE_ID ?? null"""
    run = invoke(node, tmp_path, {"index.js": source}, headers={"Lambda-Runtime-Trace-Id": ""})
    assert run.answers() == [None]


def test_module_search_path_reaches_other_folders(node: Runtime, tmp_path: Path) -> None:
    files = {
        "task/index.js": "exports.handler = async () => require('shared')",
        "layer/node_modules/shared/index.js": "module.exports = 'from the layer'",
    }
    run = invoke(
        node,
        tmp_path,
        files,
        handler="task/index.handler",
        variables={"NODE_PATH": str(tmp_path / "layer/node_modules")},
    )
    assert run.answers() == ["from the layer"]


@pytest.mark.parametrize("is_chunked", [False, True])
def test_large_events_and_answers_come_through_whole(node: Runtime, tmp_path: Path, is_chunked: bool) -> None:
    event = {"text": "0123456789ž" * (6 * 2**20 // 13)}
    if is_chunked:
        event = {"text": event["text"][:100_000]}
    source = "exports.handler = async (event) => event"
    run = invoke(node, tmp_path, {"index.js": source}, [event, "small", event], is_chunked=is_chunked)
    assert run.answers() == [event, "small", event]


# --- failures


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("async () => { throw new Error('boom') }", ("Error", "boom")),
        ("async () => { null.x }", ("TypeError", "Cannot read properties of null (reading 'x')")),
        ("() => { throw new RangeError('at once') }", ("RangeError", "at once")),
        ("async () => { throw 'text' }", ("string", "text")),
        ("async () => { throw undefined }", ("undefined", "undefined")),
        ("async () => { throw Object.create(null) }", None),
        (
            "async () => { class Odd extends Error {}; const e = new Odd('x'); e.name = 'Odd\\né'; throw e }",
            None,
        ),
        ("async () => ({ n: 1n })", ("Runtime.MarshalError", "Unable to stringify response body")),
        (
            "async () => { const a = {}; a.a = a; return a }",
            ("Runtime.MarshalError", "Unable to stringify response body"),
        ),
    ],
)
def test_failed_invocation_is_told_and_the_next_one_served(
    node: Runtime, tmp_path: Path, body: str, told: tuple[str, str] | None
) -> None:
    source = (
        f"const run = {body};\nexports.handler = (event) => event === 'fine' ? Promise.resolve(1) : run()"
    )
    run = invoke(node, tmp_path, {"index.js": source}, [{}, "fine"])
    assert [post.path for post in run.posts] == ["invocation/id-0/error", "invocation/id-1/response"]
    if told is not None:
        assert run.posts[0].failure() == told
    assert run.status is None
    assert "\tid-0\tERROR\tInvoke Error \t{" in run.output


def test_trace_and_log_of_a_failure(node: Runtime, tmp_path: Path) -> None:
    source = """
      exports.handler = async () => { throw Object.assign(new Error('boom'), { name: 'Mine', code: 42 }) }"""
    run = invoke(node, tmp_path, {"index.js": source}, is_framed=True)
    trace = run.posts[0].json()["trace"]
    assert trace[0].endswith(": boom")  # the name in it depends on when V8 prints the stack
    assert trace[1].startswith("    at ") and f"{tmp_path}/index.js:2:" in trace[1]
    [(kind, text)] = run.frames()
    assert kind == 0xA55A0017
    matched = re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z\tid-0\tERROR\tInvoke Error \t(\{.*\})\n", text)
    assert matched is not None
    logged = json.loads(matched[1])
    assert logged.pop("stack") == trace
    assert logged == {"errorType": "Mine", "errorMessage": "boom", "name": "Mine", "code": 42}


@pytest.mark.parametrize(
    ("files", "handler", "kind", "message"),
    [
        ({}, "index.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'index'"),
        ({"index.js": ""}, "index", "Runtime.MalformedHandlerName", "Bad handler"),
        ({"index.js": ""}, "index.", "Runtime.MalformedHandlerName", "Bad handler"),
        ({"index.js": ""}, "", "Runtime.MalformedHandlerName", "Bad handler"),
        (
            {"index.js": ""},
            "../index.handler",
            "Runtime.MalformedHandlerName",
            "'..' is not valid in a handler string. Use only absolute paths.",
        ),
        (
            {"index.js": "exports.other = 1"},
            "index.handler",
            "Runtime.HandlerNotFound",
            "index.handler is undefined or not exported",
        ),
        (
            {"index.mjs": "export const other = 1"},
            "index.a.b",
            "Runtime.HandlerNotFound",
            "index.a.b is undefined or not exported",
        ),
        (
            {"index.js": "exports.handler = 1"},
            "index.handler",
            "Runtime.HandlerNotFound",
            "index.handler is not a function",
        ),
        (
            {"index.js": "require('not-there')"},
            "index.handler",
            "Runtime.ImportModuleError",
            "Error: Cannot find module 'not-there'\nRequire stack:",
        ),
        (
            {"index.mjs": "import x from 'not-there'"},
            "index.handler",
            "Error",
            "Cannot find package 'not-there' imported from ",
        ),
        (
            {"index.js": "exports.handler = ("},
            "index.handler",
            "Runtime.UserCodeSyntaxError",
            "SyntaxError: ",
        ),
        ({"index.mjs": "export const ="}, "index.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
        ({"index.js": "throw new TypeError('at load')"}, "index.handler", "TypeError", "at load"),
        (
            {"index.mjs": "await Promise.reject(new TypeError('at load'))"},
            "index.handler",
            "TypeError",
            "at load",
        ),
    ],
)
def test_init_failure_is_told_and_ends_the_process(
    node: Runtime, tmp_path: Path, files: dict[str, str], handler: str, kind: str, message: str
) -> None:
    run = invoke(node, tmp_path, files, handler=handler)
    assert [post.path for post in run.posts] == ["init/error"]
    told_kind, told_message = run.posts[0].failure()
    assert told_kind == kind
    assert told_message.startswith(message)
    assert run.status == 1
    title = "Uncaught Exception" if major_version(node) < 24 else "Init Error"
    assert f"\tundefined\tERROR\t{title} \t{{" in run.output


def test_syntax_error_names_its_line(node: Runtime, tmp_path: Path) -> None:
    run = invoke(node, tmp_path, {"index.js": "const a = 1;\nconst = 2;\n"})
    trace = run.posts[0].json()["trace"]
    assert trace[0].startswith("Runtime.UserCodeSyntaxError: SyntaxError: Unexpected token")
    assert f"{tmp_path}/index.js:2" in trace


@pytest.mark.parametrize(
    ("body", "kind", "message", "status"),
    [
        (
            "setImmediate(() => { throw new RangeError('loose') }); return new Promise(() => {})",
            "RangeError",
            "loose",
            129,
        ),
        (
            "Promise.reject(new RangeError('loose')); return new Promise(() => setTimeout(() => {}, 9e6))",
            "Runtime.UnhandledPromiseRejection",
            "RangeError: loose",
            128,
        ),
        (
            "Promise.reject('why'); return new Promise(() => setTimeout(() => {}, 9e6))",
            "Runtime.UnhandledPromiseRejection",
            "why",
            128,
        ),
    ],
)
def test_loose_error_fails_the_invocation_and_ends_the_process(
    node: Runtime, tmp_path: Path, body: str, kind: str, message: str, status: int
) -> None:
    run = invoke(node, tmp_path, {"index.js": f"exports.handler = () => {{ {body} }}"}, [{}, {}])
    assert [post.path for post in run.posts] == ["invocation/id-0/error"]
    assert run.posts[0].failure() == (kind, message)
    assert run.status == status


def test_loose_error_during_init_is_an_init_error(node: Runtime, tmp_path: Path) -> None:
    source = (
        "setImmediate(() => { throw new Error('early') }); await new Promise(() => setTimeout(() => {}, 9e6))"
    )
    run = invoke(node, tmp_path, {"index.mjs": source})
    assert [(post.path, post.failure()) for post in run.posts] == [("init/error", ("Error", "early"))]
    assert run.status == 129


def test_bad_client_context_fails_the_invocation(node: Runtime, tmp_path: Path) -> None:
    run = invoke(
        node,
        tmp_path,
        {"index.js": "exports.handler = async () => 1"},
        headers={"Lambda-Runtime-Client-Context": "{"},
    )
    kind, message = run.posts[0].failure()
    assert kind == "Runtime.LambdaContextUnmarshalError"
    assert message.startswith("Unable to parse Client Context JSON: ")


def test_process_that_exits_by_itself_posts_nothing(node: Runtime, tmp_path: Path) -> None:
    run = invoke(node, tmp_path, {"index.js": "exports.handler = async () => process.exit(7)"})
    assert (run.posts, run.status) == ([], 7)


# --- the connection


def test_lost_runtime_api_ends_the_process(node: Runtime, tmp_path: Path) -> None:
    (tmp_path / "index.js").write_text("exports.handler = async () => 1")

    async def conversation() -> tuple[int, bytes]:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        assert node.client_dir is not None
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        process = await asyncio.create_subprocess_exec(
            str(node.interpreter),
            str(node.client_dir / "bootstrap.js"),
            env={
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.sockets[0].getsockname()[1]}",
                "_HANDLER": "index.handler",
                "LAMBDA_TASK_ROOT": str(tmp_path),
            },
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        server.close()
        await server.wait_closed()
        assert process.returncode is not None
        return process.returncode, printed

    status, printed = asyncio.run(asyncio.wait_for(conversation(), LIMIT_S))
    assert status == 1
    assert b"\tFATAL\tThe Runtime API cannot be reached: the connection was closed\n" in printed
