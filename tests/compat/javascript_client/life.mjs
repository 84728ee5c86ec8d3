// A function's life with the JavaScript SDK's Lambda client; prints what it saw as JSON.

import {
  CreateAliasCommand,
  CreateFunctionCommand,
  DeleteFunctionCommand,
  GetFunctionCommand,
  InvokeCommand,
  LambdaClient,
  PublishVersionCommand,
  ResourceNotFoundException,
  UpdateFunctionCodeCommand,
  paginateListFunctions,
  waitUntilFunctionActiveV2,
  waitUntilFunctionUpdatedV2,
} from "@aws-sdk/client-lambda";

const name = process.argv[2];
const client = new LambdaClient({ maxAttempts: 1 });
const waiting = { client, maxWaitTime: 30, minDelay: 0.1, maxDelay: 0.2 };
const seen = {};

/** A zip with one stored file. */
function zipOf(file, text) {
  const content = Buffer.from(text);
  const head = Buffer.alloc(26);
  head.writeUInt16LE(20, 0);
  head.writeUInt32LE(checksum(content), 10);
  head.writeUInt32LE(content.length, 14);
  head.writeUInt32LE(content.length, 18);
  head.writeUInt16LE(file.length, 22);
  const local = Buffer.concat([Buffer.from("PK\x03\x04"), head, Buffer.from(file), content]);
  const rest = Buffer.alloc(14);
  rest.writeUInt32LE((0o644 << 16) >>> 0, 6);
  const made = Buffer.concat([Buffer.from("PK\x01\x02"), Buffer.from([20, 3]), head, rest, Buffer.from(file)]);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(1, 4);
  end.writeUInt16LE(1, 6);
  end.writeUInt32LE(made.length, 8);
  end.writeUInt32LE(local.length, 12);
  return Buffer.concat([local, made, Buffer.from("PK\x05\x06"), end]);
}

function checksum(content) {
  let crc = ~0;
  for (const byte of content) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

async function invoke(payload, more = {}) {
  const answer = await client.send(
    new InvokeCommand({ FunctionName: name, Payload: JSON.stringify(payload), ...more }),
  );
  return { ...answer, json: JSON.parse(Buffer.from(answer.Payload).toString()) };
}

const source = (key) => `def handler(event, context):
    if event.get("fail"):
        raise ValueError("as asked")
    return {"${key}": event}
`;

await client.send(
  new CreateFunctionCommand({
    FunctionName: name,
    Runtime: "python3.11",
    Handler: "app.handler",
    Role: process.argv[3],
    Code: { ZipFile: zipOf("app.py", source("got")) },
  }),
);
await waitUntilFunctionActiveV2(waiting, { FunctionName: name });
seen.activeState = (await client.send(new GetFunctionCommand({ FunctionName: name }))).Configuration.State;

const first = await invoke({ n: 1 }, { LogType: "Tail" });
seen.answer = first.json;
seen.tailHasReport = Buffer.from(first.LogResult, "base64").toString().includes("REPORT RequestId:");

try {
  await client.send(new GetFunctionCommand({ FunctionName: `${name}-missing` }));
} catch (error) {
  seen.missing = {
    name: error.name,
    status: error.$metadata.httpStatusCode,
    isTyped: error instanceof ResourceNotFoundException,
  };
}

seen.listed = false;
for await (const page of paginateListFunctions({ client, pageSize: 1 }, {})) {
  seen.listed ||= page.Functions.some((found) => found.FunctionName === name);
}

await client.send(
  new UpdateFunctionCodeCommand({ FunctionName: name, ZipFile: zipOf("app.py", source("second")) }),
);
await waitUntilFunctionUpdatedV2(waiting, { FunctionName: name });
seen.second = (await invoke({ n: 2 })).json;

seen.version = (await client.send(new PublishVersionCommand({ FunctionName: name }))).Version;
await client.send(new CreateAliasCommand({ FunctionName: name, Name: "live", FunctionVersion: "1" }));
const aliased = await invoke({ n: 3 }, { Qualifier: "live" });
seen.throughAlias = { executedVersion: aliased.ExecutedVersion, answer: aliased.json };

const failed = await invoke({ fail: true });
seen.failure = { functionError: failed.FunctionError, errorType: failed.json.errorType };

await client.send(new DeleteFunctionCommand({ FunctionName: name }));
try {
  await invoke({});
} catch (error) {
  seen.afterwards = error.name;
}
console.log(JSON.stringify(seen));
