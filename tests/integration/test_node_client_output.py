"""The Node.js runtime interface client: its log records and its streamed responses."""

import base64
import json
import re
from pathlib import Path

import pytest
from node_harness import NODES, invoke

from squib.environment.runtimes import Runtime

pytestmark = pytest.mark.skipif(not NODES, reason="no Node.js on this machine")


@pytest.fixture(params=NODES, ids=lambda one: one.name)
def node(request: pytest.FixtureRequest) -> Runtime:
    runtime = request.param
    assert isinstance(runtime, Runtime)
    return runtime


# --- logs

TALKATIVE = """
  console.info('before any invocation');
  exports.handler = async () => {
    console.log('plain %s', 'text', { a: 1 });
    console.error('two\\nlines');
    console.trace('t'); console.debug('d'); console.warn('w'); console.fatal('f');
    process.stdout.write('raw\\n');
  }"""


def test_text_records_on_standard_output(node: Runtime, tmp_path: Path) -> None:
    lines = invoke(node, tmp_path, {"index.js": TALKATIVE}).output.splitlines()
    joined = "\n".join(lines)
    records = [
        line.split("\t") for line in invoke(node, tmp_path, {"index.js": TALKATIVE}).output.split("\n")
    ]
    assert [record[1:] for record in records if len(record) > 1] == [
        ["undefined", "INFO", "before any invocation"],
        ["id-0", "INFO", "plain text { a: 1 }"],
        ["id-0", "ERROR", "two\rlines"],
        ["id-0", "TRACE", "t"],
        ["id-0", "DEBUG", "d"],
        ["id-0", "WARN", "w"],
        ["id-0", "FATAL", "f"],
    ]
    assert "raw" in joined


def test_framed_text_records(node: Runtime, tmp_path: Path) -> None:
    run = invoke(node, tmp_path, {"index.js": TALKATIVE}, is_framed=True)
    assert run.output == "raw\n"
    frames = run.frames()
    assert [kind for kind, _ in frames] == [
        0xA55A000F,  # INFO
        0xA55A000F,
        0xA55A0017,  # ERROR
        0xA55A0007,  # TRACE
        0xA55A000B,  # DEBUG
        0xA55A0013,  # WARN
        0xA55A001B,  # FATAL
    ]
    assert frames[2][1].endswith("\tid-0\tERROR\ttwo\nlines\n")


def test_json_records_and_their_level(node: Runtime, tmp_path: Path) -> None:
    source = """
      exports.handler = async () => {
        console.debug('filtered out');
        console.info({ a: 1, when: 'now' });
        console.info('two', 'values', 3);
        console.error(new TypeError('alone'));
        console.error('with text', new TypeError('beside'));
        const ring = {}; ring.ring = ring;
        console.info(ring);
      }"""
    run = invoke(
        node,
        tmp_path,
        {"index.js": source},
        variables={"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"},
        is_framed=True,
    )
    records = [json.loads(text) for _, text in run.frames()]
    assert {record.pop("requestId") for record in records} == {"id-0"}
    assert all(re.fullmatch(r"[\d-]{10}T[\d:.]{12}Z", record.pop("timestamp")) for record in records)
    assert [kind for kind, _ in run.frames()] == [*[0xA55A000E] * 2, *[0xA55A0016] * 2, 0xA55A000E]
    assert records[0] == {"level": "INFO", "message": {"a": 1, "when": "now"}}
    assert records[1] == {"level": "INFO", "message": "two values 3"}
    alone = records[2]["message"]
    assert (alone["errorType"], alone["errorMessage"]) == ("TypeError", "alone")
    assert alone["stackTrace"][0] == "TypeError: alone"
    assert records[3]["message"].startswith("with text TypeError: beside\n")
    assert (records[3]["errorType"], records[3]["errorMessage"]) == ("TypeError", "beside")
    assert records[4]["message"].startswith("<ref *1> {")


def test_json_record_of_a_failure(node: Runtime, tmp_path: Path) -> None:
    run = invoke(
        node,
        tmp_path,
        {"index.js": "exports.handler = async () => { throw new TypeError('boom') }"},
        variables={"AWS_LAMBDA_LOG_FORMAT": "JSON"},
    )
    record = json.loads(run.output)
    assert (record["level"], record["requestId"]) == ("ERROR", "id-0")
    assert record["message"]["errorType"] == "TypeError"
    assert record["message"]["errorMessage"] == "boom"


# --- streamed responses


def test_streamed_response(node: Runtime, tmp_path: Path) -> None:
    source = """
      exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
        stream.setContentType('text/plain');
        stream.write('one ');
        stream.write(Buffer.from('two '));
        await new Promise(setImmediate);
        stream.write('');
        stream.end(context.awsRequestId);
      })"""
    run = invoke(node, tmp_path, {"index.js": source}, [{}, {}])
    assert [post.body for post in run.posts] == [b"one two id-0", b"one two id-1"]
    for post in run.posts:
        assert post.headers["lambda-runtime-function-response-mode"] == "streaming"
        assert post.headers["content-type"] == "text/plain"
        assert post.trailers == {}
        assert len(post.pieces) == 3
    assert run.status is None


def test_streamed_http_response_has_its_prelude(node: Runtime, tmp_path: Path) -> None:
    source = """
      import { pipeline } from 'node:stream/promises';
      import { Readable } from 'node:stream';
      export const handler = awslambda.streamifyResponse(async (event, stream) => {
        const meta = { statusCode: 201, headers: { 'content-type': 'text/html' }, cookies: ['a=b'] };
        const html = Readable.from(['<b>', 'x'.repeat(100000), '</b>']);
        await pipeline(html, awslambda.HttpResponseStream.from(stream, meta));
      })"""
    [post] = invoke(node, tmp_path, {"index.mjs": source}).posts
    assert post.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    prelude, _, body = post.body.partition(bytes(8))
    assert json.loads(prelude) == {
        "statusCode": 201,
        "headers": {"content-type": "text/html"},
        "cookies": ["a=b"],
    }
    assert body == b"<b>" + b"x" * 100000 + b"</b>"


@pytest.mark.parametrize("body", ["stream.end()", "", "stream.end(''); return 'ignored'"])
def test_streamed_response_may_be_empty(node: Runtime, tmp_path: Path, body: str) -> None:
    source = f"exports.handler = awslambda.streamifyResponse(async (event, stream) => {{ {body} }})"
    run = invoke(node, tmp_path, {"index.js": source}, [{}, {}])
    assert [(post.path, post.body) for post in run.posts] == [
        ("invocation/id-0/response", b""),
        ("invocation/id-1/response", b""),
    ]


def test_failure_before_the_first_byte_is_an_ordinary_error(node: Runtime, tmp_path: Path) -> None:
    source = """
      exports.handler = awslambda.streamifyResponse(async () => { throw new TypeError('early') })"""
    run = invoke(node, tmp_path, {"index.js": source}, [{}, {}])
    assert [post.path for post in run.posts] == ["invocation/id-0/error", "invocation/id-1/error"]
    assert run.posts[0].failure() == ("TypeError", "early")


@pytest.mark.parametrize(
    ("how", "kind", "status"),
    [
        ("throw new TypeError('midway')", "TypeError", None),
        ("stream.destroy(new TypeError('midway')); await new Promise(() => {})", "TypeError", None),
        (
            "setImmediate(() => { throw new TypeError('midway') }); await new Promise(() => {})",
            "TypeError",
            129,
        ),
    ],
)
def test_failure_midway_is_told_in_the_trailers(
    node: Runtime, tmp_path: Path, how: str, kind: str, status: int | None
) -> None:
    source = f"""
      exports.handler = awslambda.streamifyResponse(async (event, stream) => {{
        await new Promise((settle) => stream.write('begun', settle));
        {how}
      }})"""
    run = invoke(node, tmp_path, {"index.js": source})
    [post] = run.posts
    assert (post.path, post.body) == ("invocation/id-0/response", b"begun")
    assert post.trailers["lambda-runtime-function-error-type"] == kind
    told = json.loads(base64.b64decode(post.trailers["lambda-runtime-function-error-body"]))
    assert (told["errorType"], told["errorMessage"]) == (kind, "midway")
    assert run.status == status
