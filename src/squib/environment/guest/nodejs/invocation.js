'use strict';
// One invocation: the context object, the call of the handler in each of its forms, and when it is over.

const records = require('./log_records.js');
const { describe, runtimeError } = require('./errors.js');

const FIRST_WITHOUT_CALLBACKS = 24;

const environment = {
  functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
  functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
  memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
  logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
  logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
};

let active = null;

/** The invocation that waits for an answer; null between two. */
function current() {
  return active;
}

// Nothing is left to do and no answer was given: the answer is what the callback left, else null.
process.on('beforeExit', () => {
  if (active !== null) active.onEmptyLoop();
});

/** Runs the handler for `request`; the promise is the next request, asked for in the same breath as the answer. */
function serve(client, handler, request, { streaming, major }) {
  return new Promise((settle) => {
    const headers = request.headers;
    const requestId = headers['lambda-runtime-aws-request-id'];
    const traceId = headers['lambda-runtime-trace-id'];
    if (traceId) process.env._X_AMZN_TRACE_ID = traceId;
    else delete process.env._X_AMZN_TRACE_ID;
    records.setRequestId(requestId);

    const finish = (body, contentType) => {
      if (active !== invocation) return; // an answer was given before
      active = null;
      settle(client.respondAndNext(`invocation/${requestId}/response`, body, contentType));
    };
    const succeed = (result) => {
      let body;
      try {
        body = JSON.stringify(result === undefined ? null : result);
      } catch {
        fail(runtimeError('Runtime.MarshalError', 'Unable to stringify response body'));
        return;
      }
      finish(body === undefined ? 'null' : body, 'application/json');
    };
    const fail = (error) => {
      if (active !== invocation) return;
      active = null;
      records.failure('Invoke Error', error);
      settle(client.failAndNext(`invocation/${requestId}/error`, describe(error)));
    };

    const invocation = { requestId, responseStream: null, onEmptyLoop: () => succeed(null) };
    active = invocation;
    try {
      const context = contextOf(headers, requestId);
      const event = JSON.parse(request.body);
      if (streaming) {
        const end = () => {
          if (active !== invocation) return;
          active = null;
          settle(client.next());
        };
        require('./response_stream.js').run(client, handler, event, context, invocation, { end, fail, major });
      } else if (major >= FIRST_WITHOUT_CALLBACKS) {
        Promise.resolve(handler(event, context)).then(succeed, fail);
      } else {
        callWithCallback(handler, event, context, invocation, succeed, fail);
      }
    } catch (error) {
      fail(error);
    }
  });
}

/** A handler of Node.js 22 and earlier: answers by its promise, by the callback, or by the context's methods. */
function callWithCallback(handler, event, context, invocation, succeed, fail) {
  let waitsForEmptyLoop = true;
  Object.defineProperty(context, 'callbackWaitsForEmptyEventLoop', {
    enumerable: true,
    get: () => waitsForEmptyLoop,
    set: (value) => { waitsForEmptyLoop = Boolean(value); },
  });
  const isAnError = (error) => error !== undefined && error !== null;
  context.succeed = succeed;
  context.fail = (error) => (isAnError(error) ? fail(error) : fail('handled'));
  context.done = (error, result) => (isAnError(error) ? fail(error) : succeed(result));
  let isCalled = false;
  const callback = (error, result) => {
    if (isCalled) return;
    isCalled = true;
    const answer = () => (isAnError(error) ? fail(error) : succeed(result));
    if (waitsForEmptyLoop) invocation.onEmptyLoop = answer;
    else answer();
  };
  const returned = handler(event, context, callback);
  if (returned !== null && typeof returned === 'object' && typeof returned.then === 'function') {
    returned.then(succeed, fail);
  }
}

function contextOf(headers, requestId) {
  const deadlineMs = Number(headers['lambda-runtime-deadline-ms']);
  return {
    ...environment,
    clientContext: parsed(headers['lambda-runtime-client-context'], 'Client Context'),
    identity: parsed(headers['lambda-runtime-cognito-identity'], 'Cognito Identity'),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: requestId,
    tenantId: headers['lambda-runtime-aws-tenant-id'],
    getRemainingTimeInMillis: () => deadlineMs - Date.now(),
  };
}

function parsed(text, what) {
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw runtimeError('Runtime.LambdaContextUnmarshalError', `Unable to parse ${what} JSON: ${error.message}`);
  }
}

module.exports = { current, serve };
