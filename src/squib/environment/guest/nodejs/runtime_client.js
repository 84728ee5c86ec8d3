'use strict';
// The Runtime API's client: one kept-alive connection, written by hand over a socket. Loading node's own HTTP
// client would cost more than half of what the rest of this program costs to start.

const net = require('net');

const PREFIX = '/2018-06-01/runtime/';
const HEAD_END = Buffer.from('\r\n\r\n');

class RuntimeClient {
  #address;
  #onLost;
  #socket = null;
  #waiting = []; // one {settle, fail, isNext} per answer still to come, in the order of the requests
  #reader = new AnswerReader((answer) => this.#onAnswer(answer));

  /** `address` is `host:port`; `onLost(error)` is called when the connection ends while an answer is awaited. */
  constructor(address, onLost) {
    this.#address = address;
    this.#onLost = onLost;
  }

  /** Asks for the next invocation: {status, headers, body}. The only request that keeps the process alive. */
  next() {
    return this.#send(this.#requestHead('GET', 'invocation/next', ''));
  }

  /** Posts a JSON body and gives the answer. */
  post(path, error) {
    const body = JSON.stringify(error);
    return this.#send(this.#requestHead('POST', path, errorHeaders(error, body)) + body);
  }

  /** Answers an invocation and asks for the next one in one write. */
  respondAndNext(path, body, contentType) {
    const headers = `Content-Type: ${contentType}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
    return this.#sendBoth(this.#requestHead('POST', path, headers) + body);
  }

  /** Reports an invocation's failure and asks for the next one in one write. */
  failAndNext(path, error) {
    const body = JSON.stringify(error);
    return this.#sendBoth(this.#requestHead('POST', path, errorHeaders(error, body)) + body);
  }

  /** Begins a streamed answer; `writeStream` and `endStream` follow. */
  startStream(path, contentType) {
    const headers = `Content-Type: ${contentType}\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n`
      + 'Transfer-Encoding: chunked\r\n'
      + 'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n';
    this.#send(this.#requestHead('POST', path, headers)).catch(() => {});
  }

  /** Sends one piece; `callback` when the socket has taken it. */
  writeStream(bytes, callback) {
    if (bytes.length === 0) return callback(); // an empty piece would end the body
    const socket = this.#connected();
    socket.cork();
    socket.write(`${bytes.length.toString(16)}\r\n`);
    socket.write(bytes);
    socket.write('\r\n', callback);
    socket.uncork();
  }

  /** Ends a streamed answer with these trailers. */
  endStream(trailers) {
    const lines = Object.entries(trailers).map(([name, value]) => `${name}: ${headerSafe(value)}\r\n`);
    this.#connected().write(`0\r\n${lines.join('')}\r\n`);
  }

  /** Resolves when every answer awaited has come. */
  drain() {
    const last = this.#waiting.at(-1);
    if (last === undefined) return Promise.resolve();
    return new Promise((settle) => {
      const { settle: before } = last;
      last.settle = (answer) => { before(answer); settle(); };
    });
  }

  #requestHead(method, path, headers) {
    return `${method} ${PREFIX}${path} HTTP/1.1\r\nHost: ${this.#address}\r\n${headers}\r\n`;
  }

  #sendBoth(request) {
    this.#waiting.push({ settle: ignore, fail: ignore, isNext: false });
    return this.#send(request + this.#requestHead('GET', 'invocation/next', ''));
  }

  #send(text) {
    return new Promise((settle, fail) => {
      this.#waiting.push({ settle, fail });
      const socket = this.#connected();
      socket.ref();
      socket.write(text);
    });
  }

  #connected() {
    if (this.#socket !== null) return this.#socket;
    const colon = this.#address.lastIndexOf(':');
    const socket = net.connect({
      host: this.#address.slice(0, colon), port: Number(this.#address.slice(colon + 1)), noDelay: true,
    });
    let cause = new Error('the connection was closed');
    socket.on('data', (data) => this.#reader.push(data));
    socket.on('error', (error) => { cause = error; });
    socket.on('close', () => {
      this.#socket = null;
      const waiting = this.#waiting.splice(0);
      for (const one of waiting) one.fail(cause);
      if (waiting.length > 0) this.#onLost(cause);
    });
    this.#socket = socket;
    return socket;
  }

  #onAnswer(answer) {
    const { settle } = this.#waiting.shift();
    // While the handler runs, only its own work may keep the process alive.
    if (this.#waiting.length === 0) this.#socket.unref();
    settle(answer);
  }
}

function ignore() {}

function errorHeaders(error, body) {
  return `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
    + `Lambda-Runtime-Function-Error-Type: ${headerSafe(error.errorType)}\r\n`;
}

function headerSafe(value) {
  return String(value).replace(/[^\x20-\x7e]/g, '?');
}

/** Cuts a connection's bytes into answers: bodies by Content-Length or chunked. */
class AnswerReader {
  #onAnswer;
  #head = null; // bytes of a head that is not complete yet
  #answer = null; // the answer whose body is being read
  #missing = 0; // bytes of body still to come, or -1: chunked
  #pieces = [];

  constructor(onAnswer) {
    this.#onAnswer = onAnswer;
  }

  push(data) {
    while (data.length > 0) {
      if (this.#answer === null) {
        if (this.#head !== null) data = Buffer.concat([this.#head, data]);
        const end = data.indexOf(HEAD_END);
        this.#head = end < 0 ? data : null;
        if (end < 0) return;
        this.#begin(data.toString('utf8', 0, end));
        data = data.subarray(end + HEAD_END.length);
      }
      data = this.#missing >= 0 ? this.#readCounted(data) : this.#readChunked(data);
    }
  }

  #begin(head) {
    const lines = head.split('\r\n');
    const headers = {};
    for (let i = 1; i < lines.length; i++) {
      const colon = lines[i].indexOf(':');
      headers[lines[i].slice(0, colon).toLowerCase()] = lines[i].slice(colon + 1).trim();
    }
    this.#answer = { status: Number(lines[0].split(' ', 2)[1]), headers, body: '' };
    this.#missing = headers['transfer-encoding'] === 'chunked' ? -1 : Number(headers['content-length'] || 0);
    if (this.#missing === 0) this.#finish();
  }

  #readCounted(data) {
    if (this.#answer === null) return data; // had no body
    const piece = data.subarray(0, this.#missing);
    this.#pieces.push(piece);
    this.#missing -= piece.length;
    if (this.#missing === 0) this.#finish();
    return data.subarray(piece.length);
  }

  #readChunked(data) {
    const bytes = Buffer.concat([...this.#pieces, data]);
    const pieces = [];
    for (let at = 0; ;) {
      const lineEnd = bytes.indexOf('\r\n', at);
      const size = lineEnd < 0 ? NaN : parseInt(bytes.toString('latin1', at, lineEnd), 16);
      const next = lineEnd + 2 + size + 2;
      if (!(next <= bytes.length)) break; // not all here yet
      if (size === 0) {
        this.#pieces = pieces;
        this.#finish();
        return bytes.subarray(next);
      }
      pieces.push(bytes.subarray(lineEnd + 2, next - 2));
      at = next;
    }
    this.#pieces = [bytes];
    return bytes.subarray(bytes.length);
  }

  #finish() {
    const answer = this.#answer;
    const pieces = this.#pieces;
    this.#answer = null;
    this.#pieces = [];
    answer.body = (pieces.length === 1 ? pieces[0] : Buffer.concat(pieces)).toString('utf8');
    this.#onAnswer(answer);
  }
}

module.exports = { RuntimeClient };
