'use strict';
// Errors as Lambda reports them: the answer's {errorType, errorMessage, trace} and the log's longer form.

/** An error of the runtime itself, such as `Runtime.ImportModuleError`; `cause`'s own stack is kept in view. */
function runtimeError(name, message, cause) {
  const error = new Error(message);
  Object.defineProperty(error, 'name', { value: name, enumerable: true, configurable: true, writable: true });
  Error.captureStackTrace(error, runtimeError);
  if (cause && typeof cause.stack === 'string') {
    error.stack = `${name}: ${message}\n${cause.stack.replace(`${cause}\n`, '')}`;
  }
  return error;
}

/** What an unhandled rejection is reported as. */
function unhandledRejection(reason) {
  const error = runtimeError('Runtime.UnhandledPromiseRejection', String(reason), reason);
  error.reason = reason;
  return error;
}

function isError(value) {
  return value instanceof Error || (value !== null && typeof value === 'object'
    && typeof value.name === 'string' && typeof value.message === 'string' && typeof value.stack === 'string');
}

function lines(stack) {
  return typeof stack === 'string' ? stack.split('\n') : [];
}

/** The body that the Runtime API is given. Never throws, whatever a handler has thrown. */
function describe(value) {
  try {
    if (isError(value)) {
      return { errorType: String(value.name), errorMessage: String(value.message), trace: lines(value.stack) };
    }
    return { errorType: typeof value, errorMessage: String(value), trace: [] };
  } catch {
    return { errorType: 'handled', errorMessage: 'the handler threw a value that cannot be described', trace: [] };
  }
}

/** The same for a log line, with the error's own properties. */
function loggable(value) {
  const { errorType, errorMessage, trace } = describe(value);
  const own = isError(value) ? { ...value } : {};
  if (isError(own.reason)) own.reason = loggable(own.reason);
  return { errorType, errorMessage, ...own, stack: trace };
}

module.exports = { describe, isError, loggable, runtimeError, unhandledRejection };
