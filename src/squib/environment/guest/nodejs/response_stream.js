'use strict';
// Streamed responses: the writable stream that a streaming handler is given, and when such an invocation ends.

const { Writable } = require('stream');
const { describe } = require('./errors.js');
const records = require('./log_records.js');

const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
const HTTP_INTEGRATION = 'application/vnd.awslambda.http-integration-response';
const PRELUDE_END = Buffer.alloc(8);
const FIRST_THAT_ENDS_WITH_ITS_STREAM = 24;

class ResponseStream extends Writable {
  #client;
  #path;
  #contentType = 'application/octet-stream';
  #prelude = null;

  constructor(client, path, options) {
    super(options);
    this.#client = client;
    this.#path = path;
    /** Whether the answer's head is on its way: from then on a failure can only be told in the trailers. */
    this.hasStarted = false;
  }

  setContentType(contentType) {
    if (this.hasStarted) throw new Error('Cannot set the content type: the response has started.');
    this.#contentType = String(contentType);
  }

  /** What comes before the first byte of the body. */
  setPrelude(bytes) {
    this.#prelude = bytes;
  }

  /** Ends the answer with an error in its trailers. */
  abort(error) {
    this.#client.endStream({
      'Lambda-Runtime-Function-Error-Type': error.errorType,
      'Lambda-Runtime-Function-Error-Body': Buffer.from(JSON.stringify(error)).toString('base64'),
    });
    this.destroy();
  }

  #start() {
    if (this.hasStarted) return;
    this.hasStarted = true;
    this.#client.startStream(this.#path, this.#contentType);
    if (this.#prelude !== null) this.#client.writeStream(this.#prelude, () => {});
  }

  _write(chunk, encoding, callback) {
    this.#start();
    this.#client.writeStream(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk, callback);
  }

  _final(callback) {
    this.#start();
    this.#client.endStream({});
    callback();
  }
}

const HttpResponseStream = {
  /** Makes `stream` the answer of an HTTP request with this status, these headers and cookies. */
  from(stream, prelude) {
    stream.setContentType(HTTP_INTEGRATION);
    stream.setPrelude(Buffer.concat([Buffer.from(JSON.stringify(prelude)), PRELUDE_END]));
    return stream;
  },
};

/** Calls a streaming handler; `end` once its stream and its promise are done, `fail` if nothing was sent yet. */
function run(client, handler, event, context, invocation, { end, fail, major }) {
  const options = handler[HIGH_WATER_MARK] === undefined ? {} : { highWaterMark: handler[HIGH_WATER_MARK] };
  const stream = new ResponseStream(client, `invocation/${invocation.requestId}/response`, options);
  invocation.responseStream = stream;
  let hasReturned = false;
  let hasFinished = false;
  const failed = (error) => {
    if (hasFinished) { // all was sent: too late for an error to change the answer
      records.failure('Invoke Error', error);
      end();
    } else if (stream.hasStarted) {
      hasFinished = true;
      records.failure('Invoke Error', error);
      stream.abort(describe(error));
      end();
    } else {
      stream.destroy();
      fail(error);
    }
  };
  stream.on('finish', () => {
    hasFinished = true;
    if (hasReturned || major >= FIRST_THAT_ENDS_WITH_ITS_STREAM) end();
  });
  stream.on('error', failed);
  invocation.onEmptyLoop = () => (hasFinished ? end() : stream.end());
  Promise.resolve(handler(event, stream, context)).then(() => {
    hasReturned = true;
    if (hasFinished) end();
  }, failed);
}

module.exports = { HttpResponseStream, run };
