'use strict';
// The runtime interface client for Node.js: loads the function's handler, then serves one invocation after
// another from the Runtime API named by AWS_LAMBDA_RUNTIME_API until the process is ended.
//
// Start-up time is part of every cold start: no module is loaded here that a plain function does not need.

const { RuntimeClient } = require('./runtime_client.js');
const { describe, unhandledRejection } = require('./errors.js');
const records = require('./log_records.js');
const { loadHandler, isStreaming } = require('./handler.js');
const { serve, current } = require('./invocation.js');

const EXIT_INIT_FAILED = 1;
const EXIT_UNHANDLED_REJECTION = 128;
const EXIT_UNCAUGHT_EXCEPTION = 129;

const major = Number(process.versions.node.split('.', 1)[0]);

if (!process.env.AWS_LAMBDA_RUNTIME_API) {
  process.stderr.write('AWS_LAMBDA_RUNTIME_API is not set: this program runs inside an execution environment.\n');
  process.exit(EXIT_INIT_FAILED);
}

const client = new RuntimeClient(process.env.AWS_LAMBDA_RUNTIME_API, onLostConnection);
let isInitialized = false;
let isEnding = false;

function onLostConnection(error) {
  if (isEnding) return;
  records.write('FATAL', ['The Runtime API cannot be reached:', error.message]);
  process.exit(EXIT_INIT_FAILED);
}

/** Logs what broke the process, tells the platform if something waits for an answer, and exits. */
function fail(title, error, status) {
  if (isEnding) return;
  isEnding = true;
  records.failure(title, error);
  const body = describe(error);
  const exit = () => process.exit(status);
  const invocation = current();
  if (invocation !== null && invocation.responseStream !== null && invocation.responseStream.hasStarted) {
    invocation.responseStream.abort(body);
    client.drain().then(exit, exit);
  } else if (invocation !== null) {
    client.post(`invocation/${invocation.requestId}/error`, body).then(exit, exit);
  } else if (!isInitialized) {
    client.post('init/error', body).then(exit, exit);
  } else {
    exit(); // between invocations nobody waits for an answer
  }
}

process.on('uncaughtException', (error) => fail('Uncaught Exception', error, EXIT_UNCAUGHT_EXCEPTION));
process.on('unhandledRejection', (reason) =>
  fail('Unhandled Promise Rejection', unhandledRejection(reason), EXIT_UNHANDLED_REJECTION));

/** Lambda's search path for modules that are neither in the function's folder nor built in. */
function extendModulePath() {
  if (process.env.NODE_PATH) return; // node has read it
  process.env.NODE_PATH = [
    `/opt/nodejs/node${major}/node_modules`, '/opt/nodejs/node_modules',
    '/var/runtime/node_modules', '/var/runtime', process.env.LAMBDA_TASK_ROOT || '/var/task',
  ].join(':');
  require('module')._initPaths();
}

async function main() {
  records.install();
  extendModulePath();
  let handler;
  try {
    handler = loadHandler(process.env.LAMBDA_TASK_ROOT || process.cwd(), process.env._HANDLER || '', major);
    if (typeof handler !== 'function') handler = await handler;
  } catch (error) {
    fail(major < 24 ? 'Uncaught Exception' : 'Init Error', error, EXIT_INIT_FAILED);
    return;
  }
  const streaming = isStreaming(handler);
  let request = client.next();
  isInitialized = true;
  for (;;) {
    const answer = await request;
    if (answer.status !== 200) {
      onLostConnection(new Error(`the next invocation was refused with status ${answer.status}`));
      return;
    }
    request = serve(client, handler, answer, { streaming, major });
  }
}

main();
