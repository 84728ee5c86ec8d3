'use strict';
// From `_HANDLER` to a function: which file, CommonJS or ES module, and what to say when it is not there.

const fs = require('fs');
const path = require('path');
const { runtimeError } = require('./errors.js');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const EXTENSIONS = ['', '.js', '.mjs', '.cjs'];
const FIRST_WITHOUT_CALLBACKS = 24;
const NO_CALLBACKS =
  'ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. '
  + 'You need to modify this function to use a supported handler signature to use Node.js 24 or later. '
  + 'For more information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.';

// What `awslambda` offers to the function's code; the streams behind it load only when they are used.
globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMING] = 'response';
    if (options && typeof options.highWaterMark === 'number') {
      handler[Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark')] = options.highWaterMark;
    }
    return handler;
  },
  get HttpResponseStream() {
    return require('./response_stream.js').HttpResponseStream;
  },
};

/** Whether the handler was made by `awslambda.streamifyResponse`. */
function isStreaming(handler) {
  return handler[STREAMING] === 'response';
}

/**
 * The function that `handler` (`folder/file.name` or `folder/file.object.name`) names below `root`; a promise
 * of it for an ES module. Throws or rejects with an error whose name is what Lambda reports.
 */
function loadHandler(root, handler, major) {
  if (handler.includes('..')) {
    throw runtimeError('Runtime.MalformedHandlerName', `'..' is not valid in a handler string. Use only absolute paths.`);
  }
  const base = path.basename(handler);
  const dot = base.indexOf('.');
  if (dot < 1 || dot === base.length - 1) throw runtimeError('Runtime.MalformedHandlerName', 'Bad handler');
  const name = path.join(path.dirname(handler), base.slice(0, dot));
  const steps = base.slice(dot + 1).split('.');
  const loaded = load(root, name);
  const finish = (exported) => resolve(exported, steps, handler, major);
  return loaded instanceof Promise ? loaded.then(finish) : finish(loaded);
}

function load(root, name) {
  const file = locate(root, name);
  if (file.endsWith('.mjs') || (file.endsWith('.js') && isModulePackage(path.dirname(file)))) return importModule(file);
  try {
    return require(file);
  } catch (error) {
    if (error && (error.code === 'ERR_REQUIRE_ESM' || error.code === 'ERR_REQUIRE_ASYNC_MODULE')) return importModule(file);
    throw importFailure(error);
  }
}

async function importModule(file) {
  try {
    return await import(require('url').pathToFileURL(file).href);
  } catch (error) {
    throw importFailure(error);
  }
}

function importFailure(error) {
  if (error instanceof SyntaxError) return runtimeError('Runtime.UserCodeSyntaxError', String(error), error);
  if (error && error.code === 'MODULE_NOT_FOUND') {
    return runtimeError('Runtime.ImportModuleError', String(error), error);
  }
  return error;
}

/** The handler's file; falls back to packages in node_modules and on NODE_PATH. */
function locate(root, name) {
  const base = path.resolve(root, name);
  for (const extension of EXTENSIONS) {
    if (fs.statSync(base + extension, { throwIfNoEntry: false })?.isFile()) return base + extension;
  }
  try {
    return require.resolve(name, { paths: [root] });
  } catch (error) {
    throw importFailure(error);
  }
}

function isModulePackage(folder) {
  for (;;) {
    let text;
    try {
      text = fs.readFileSync(path.join(folder, 'package.json'), 'utf8');
    } catch {
      const parent = path.dirname(folder);
      if (parent === folder || path.basename(folder) === 'node_modules') return false;
      folder = parent;
      continue;
    }
    try {
      return JSON.parse(text).type === 'module';
    } catch {
      return false; // node itself will say what is wrong with it
    }
  }
}

function resolve(exported, steps, handler, major) {
  let found = exported;
  for (const step of steps) {
    // a CommonJS module seen through `import` has its exports under `default`
    const inner = found?.[step] ?? (found === exported ? found?.default?.[step] : undefined);
    found = inner;
  }
  if (found === undefined || found === null) {
    throw runtimeError('Runtime.HandlerNotFound', `${handler} is undefined or not exported`);
  }
  if (typeof found !== 'function') throw runtimeError('Runtime.HandlerNotFound', `${handler} is not a function`);
  if (major >= FIRST_WITHOUT_CALLBACKS && found.length >= 3 && !isStreaming(found)) {
    throw runtimeError('Runtime.CallbackHandlerDeprecated', NO_CALLBACKS);
  }
  return found;
}

module.exports = { isStreaming, loadHandler };
