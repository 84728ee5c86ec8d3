'use strict';
// The console as Lambda's functions know it: every call makes one record, in text or in JSON.
//
// With _LAMBDA_TELEMETRY_LOG_FD set, a record is one frame on that descriptor, big-endian:
//   4 bytes type (0xa55a0002 JSON, 0xa55a0003 text, the level in bits 2 to 4), 4 bytes length of the message,
//   8 bytes microseconds since 1970, the message.
// Without it a record is one line on standard output, its inner line ends turned into carriage returns.

const fs = require('fs');
const util = require('util');
const { isError, loggable } = require('./errors.js');

const LEVELS = { TRACE: 1, DEBUG: 2, INFO: 3, WARN: 4, ERROR: 5, FATAL: 6 };
const METHODS = {
  trace: 'TRACE', debug: 'DEBUG', log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR', fatal: 'FATAL',
};
const FRAME_HEAD_BYTES = 16;
const STANDARD_OUTPUT = 1;

let requestId; // undefined before the first invocation, and printed so, as on AWS
let isJson = false;
let minimum = 0;
let frameFd = -1;

/** Replaces the console's methods; called once, before any code of the function runs. */
function install() {
  isJson = String(process.env.AWS_LAMBDA_LOG_FORMAT).toUpperCase() === 'JSON';
  minimum = LEVELS[String(process.env.AWS_LAMBDA_LOG_LEVEL).toUpperCase()] || 0;
  const fd = Number(process.env._LAMBDA_TELEMETRY_LOG_FD);
  if (Number.isInteger(fd) && fd > 0) frameFd = fd;
  delete process.env._LAMBDA_TELEMETRY_LOG_FD;
  for (const [method, level] of Object.entries(METHODS)) {
    console[method] = (...values) => write(level, values);
  }
}

/** Names the invocation that records belong to from now on. */
function setRequestId(id) {
  requestId = id;
}

/** Writes one record unless its level is filtered out. */
function write(level, values) {
  if (LEVELS[level] < minimum) return;
  const now = new Date();
  emit(level, now, isJson
    ? json(level, now, values)
    : `${now.toISOString()}\t${requestId}\t${level}\t${util.format(...values)}`);
}

/** Writes the record of an invocation, an init phase or a process that failed. */
function failure(title, error) {
  if (isJson) return write('ERROR', [error]);
  let text;
  try {
    text = JSON.stringify(loggable(error));
  } catch {
    text = util.inspect(error);
  }
  write('ERROR', [`${title} \t${text}`]);
}

function errorForm(error) {
  const { errorType, errorMessage, stack } = loggable(error);
  return { errorType, errorMessage, stackTrace: stack };
}

function json(level, now, values) {
  const head = { timestamp: now.toISOString(), level, requestId };
  if (values.length === 1) {
    try {
      return JSON.stringify({ ...head, message: values[0] }, (_, value) => (isError(value) ? errorForm(value) : value));
    } catch {
      // a cycle or a BigInt: fall through to its printed form
    }
  }
  const found = values.find(isError);
  return JSON.stringify({ ...head, message: util.format(...values), ...(found && errorForm(found)) });
}

function emit(level, now, text) {
  if (frameFd < 0) {
    writeAll(STANDARD_OUTPUT, Buffer.from(`${isJson ? text : text.replace(/\n/g, '\r')}\n`));
    return;
  }
  const length = Buffer.byteLength(text) + 1;
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + length);
  frame.writeUInt32BE((0xa55a0002 | (isJson ? 0 : 1) | (LEVELS[level] << 2)) >>> 0, 0);
  frame.writeUInt32BE(length, 4);
  frame.writeBigUInt64BE(BigInt(now.getTime()) * 1000n, 8);
  frame.write(text, FRAME_HEAD_BYTES);
  frame[FRAME_HEAD_BYTES + length - 1] = 0x0a;
  writeAll(frameFd, frame);
}

/** Blocks until all is written: a record must be out before the invocation's answer is. */
function writeAll(fd, bytes) {
  for (let offset = 0; offset < bytes.length;) {
    try {
      offset += fs.writeSync(fd, bytes, offset);
    } catch (error) {
      if (error.code !== 'EAGAIN') return; // nobody reads any more: a log line must not end the function
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

module.exports = { failure, install, setRequestId, write };
