/**
 * Ledger: an append-only list of lines behind HTTP, small enough to read, strict enough to test a cluster with.
 *
 *   POST /append      body: one line, 1 to 4096 bytes of UTF-8. Answers {"sequence": n, "node": name} once it is on disk (fsync).
 *   GET  /entries     the lines from ?from=n (default 1) on, each as `sequence TAB line`; only what is on disk.
 *   GET  /health      {"status":"ok","entries":n}
 *
 * Guarantee: an answer 200 to an append means that the line is in the file, at that sequence, after any crash. Requests that arrive while
 * the disk is busy are written together and answered together (group commit). Any error answers 500 and acknowledges nothing; after a
 * failed fsync nobody knows what is on the disk, so the process ends and the next start reads what is really there.
 *
 * File: one line `sequence TAB text` per entry, numbered from 1 without gaps. A crash can leave a torn end; only the last batch can be
 * torn, and nothing of it was acknowledged before all of it was synced, so the start cuts at the first line that is not whole. Damage
 * further up is no crash's doing: then the ledger does not start.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';

const ADDRESS = process.env.LEDGER_ADDRESS ?? '127.0.0.1';
const PORT = Number(process.env.LEDGER_PORT ?? 8080);
const FILE = join(process.env.LEDGER_FOLDER ?? '/srv/ledger', 'ledger.log');
const READY_DESCRIPTOR = 9;
const NODE = hostname();

const LINE_BYTES_MAX = 4096;
const WAITING_MAX = 10_000;
const BATCH_BYTES_MAX = 256 * 1024;
const READ_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

class Ledger {
  #file;
  /** Length of the file as far as it is synced. */
  #bytes = 0;
  #entries = 0;
  #waiting = [];
  #writing = false;
  /** After a failed fsync nothing is acknowledged any more. */
  #broken = false;

  static async open(path) {
    mkdirSync(dirname(path), { recursive: true });
    const ledger = new Ledger();
    ledger.#file = await open(path, 'a+').then(async (created) => {
      await created.close();
      return open(path, 'r+');
    });
    const folder = openSync(dirname(path), 'r');
    fsyncSync(folder); // the name of a new file must survive a crash as well
    closeSync(folder);
    await ledger.#recover();
    return ledger;
  }

  get entries() {
    return this.#entries;
  }

  /** Resolves with the sequence of the line when it is on disk. */
  append(text) {
    if (this.#broken) return Promise.reject(new Error('the disk has failed'));
    if (this.#waiting.length >= WAITING_MAX) return Promise.reject(new Error(`${WAITING_MAX} lines are waiting for the disk`));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ text, resolve, reject });
      if (!this.#writing) void this.#writeAll();
    });
  }

  /** Resolves when nothing is waiting for the disk. */
  async idle() {
    while (this.#writing) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** Whole lines `sequence TAB text` from the given sequence on, in chunks; what is appended meanwhile is not included. */
  async *read(from) {
    const end = this.#bytes;
    let sequence = 0;
    for await (const { lines } of this.#lines(end)) {
      const first = sequence + 1;
      sequence += lines.length;
      if (sequence >= from) yield `${lines.slice(Math.max(0, from - first)).join('\n')}\n`;
    }
  }

  async #writeAll() {
    this.#writing = true;
    while (this.#waiting.length > 0) await this.#writeBatch();
    this.#writing = false;
  }

  async #writeBatch() {
    const batch = [];
    const lines = [];
    let bytes = 0;
    while (this.#waiting.length > 0 && bytes < BATCH_BYTES_MAX - 2 * LINE_BYTES_MAX) {
      const entry = this.#waiting.shift();
      const line = Buffer.from(`${this.#entries + batch.length + 1}\t${entry.text}\n`);
      batch.push(entry);
      lines.push(line);
      bytes += line.length;
    }
    try {
      await this.#write(Buffer.concat(lines, bytes));
    } catch (error) {
      for (const { reject } of batch) reject(error);
      await this.#cutBack();
      return;
    }
    try {
      await this.#file.sync();
    } catch (error) {
      for (const { reject } of batch) reject(error);
      this.#break(`fsync of ${FILE}: ${error.message}`);
      return;
    }
    this.#bytes += bytes;
    for (const { resolve } of batch) {
      this.#entries += 1;
      resolve(this.#entries);
    }
  }

  async #write(buffer) {
    let done = 0;
    while (done < buffer.length) {
      const { bytesWritten } = await this.#file.write(buffer, done, buffer.length - done, this.#bytes + done);
      done += bytesWritten;
    }
  }

  /** A batch that could not be written whole (a full disk) must not leave a part behind. */
  async #cutBack() {
    try {
      await this.#file.truncate(this.#bytes);
      await this.#file.sync();
    } catch (error) {
      this.#break(`cutting ${FILE} back to ${this.#bytes} bytes: ${error.message}`);
    }
  }

  /** Better no ledger than one that does not know what is on its disk. Answers that are under way still go out. */
  #break(problem) {
    console.error(problem);
    this.#broken = true;
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(problem));
    setTimeout(() => process.exit(1), 100);
  }

  async #recover() {
    const { size } = await this.#file.stat();
    let sequence = 0;
    let whole = 0;
    for await (const { lines, ends } of this.#lines(size)) {
      for (const [index, line] of lines.entries()) {
        if (!line.startsWith(`${sequence + 1}\t`)) return this.#cut(size, sequence, whole);
        sequence += 1;
        whole = ends[index];
      }
    }
    await this.#cut(size, sequence, whole);
  }

  async #cut(size, sequence, whole) {
    this.#entries = sequence;
    this.#bytes = whole;
    if (whole === size) return;
    if (size - whole > BATCH_BYTES_MAX) {
      throw new Error(`${FILE} is damaged after entry ${sequence}, ${size - whole} bytes before its end: more than a crash can tear`);
    }
    console.log(`cutting ${size - whole} bytes of a torn end after entry ${sequence}`);
    await this.#file.truncate(whole);
    await this.#file.sync();
  }

  /** The whole lines up to an offset, in chunks, with the offset after each. A rest without newline at the end is not a line. */
  async *#lines(end) {
    let rest = Buffer.alloc(0);
    let restStart = 0;
    let offset = 0;
    while (offset < end) {
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafe(READ_BYTES), 0, Math.min(READ_BYTES, end - offset), offset);
      if (bytesRead === 0) throw new Error(`${FILE} ends at ${offset}, expected ${end}`);
      offset += bytesRead;
      const chunk = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      const lines = [];
      const ends = [];
      let start = 0;
      for (let newline = chunk.indexOf(NEWLINE); newline >= 0; newline = chunk.indexOf(NEWLINE, start)) {
        lines.push(chunk.toString('utf8', start, newline));
        start = newline + 1;
        ends.push(restStart + start);
      }
      rest = Buffer.from(chunk.subarray(start));
      restStart += start;
      if (lines.length > 0) yield { lines, ends };
      // A line is bounded, so a longer rest is a hole left by a crash: the caller decides what that means.
      if (rest.length > LINE_BYTES_MAX * 4 + READ_BYTES) return;
    }
  }
}

async function bodyOf(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > LINE_BYTES_MAX) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Set by SIGTERM: what was accepted is still answered. Nothing new is, or clients that never pause would keep it running. */
let isStopping = false;

function answer(response, status, content) {
  const text = JSON.stringify(content);
  if (isStopping) response.setHeader('connection', 'close');
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
}

async function append(ledger, request, response) {
  const text = await bodyOf(request);
  if (text === undefined) {
    response.setHeader('connection', 'close'); // the rest of the body is not read
    answer(response, 413, { error: `an entry has at most ${LINE_BYTES_MAX} bytes` });
  } else if (text === '' || /[\n\r\0]/.test(text)) {
    answer(response, 400, { error: 'an entry is one line and not empty' });
  } else {
    answer(response, 200, { sequence: await ledger.append(text), node: NODE });
  }
}

async function entries(ledger, url, response) {
  const from = Number(url.searchParams.get('from') ?? 1);
  if (!Number.isSafeInteger(from) || from < 1) {
    answer(response, 400, { error: 'from is a sequence, 1 or more' });
    return;
  }
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
  for await (const chunk of ledger.read(from)) {
    if (response.destroyed) return;
    if (!response.write(chunk)) await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
  }
  response.end();
}

async function serve(ledger, request, response) {
  const url = new URL(request.url ?? '/', 'http://ledger');
  const route = `${request.method} ${url.pathname}`;
  if (route === 'POST /append') await append(ledger, request, response);
  else if (route === 'GET /entries') await entries(ledger, url, response);
  else if (route === 'GET /health') answer(response, 200, { status: 'ok', entries: ledger.entries });
  else answer(response, 404, { error: 'POST /append, GET /entries?from=n, GET /health' });
}

async function main() {
  process.title = 'ledger'; // the name that the error detection of the module looks for
  const ledger = await Ledger.open(FILE);
  const server = createServer((request, response) => {
    if (isStopping) {
      answer(response, 503, { error: 'the ledger is being stopped' });
      return;
    }
    serve(ledger, request, response).catch((error) => {
      console.error(`${request.method} ${request.url}: ${error.message}`);
      if (response.headersSent) response.destroy();
      else answer(response, 500, { error: error.message });
    });
  });
  server.keepAliveTimeout = 60_000;
  await new Promise((resolve, reject) => server.once('error', reject).listen(PORT, ADDRESS, resolve));
  process.once('SIGTERM', () => {
    isStopping = true;
    server.close();
    server.closeIdleConnections();
    void ledger.idle().then(() => {
      // What was accepted is answered; a connection that never ends must not hold up the stop.
      setTimeout(() => process.exit(0), 50);
    });
  });
  console.log(`serving ${ledger.entries} entries of ${FILE} on ${ADDRESS} port ${PORT}`);
  sayReady();
}

/** Tells the start script, which holds the other end of a pipe; started by hand there is none. */
function sayReady() {
  try {
    writeSync(READY_DESCRIPTOR, 'ready\n');
    closeSync(READY_DESCRIPTOR);
  } catch {
    // started without the script
  }
}

main().catch((error) => {
  console.error(`ledger: ${error.message}`);
  process.exit(1);
});
