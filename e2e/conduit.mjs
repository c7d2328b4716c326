// A real Conduit for the tests: the binary that CONDUIT_BINARY names, or one
// built from this checkout, on a free port with a data folder of its own.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');

function binary() {
  if (!process.env.CONDUIT_BINARY) {
    const built = join(root, 'bin', 'conduit-e2e');
    // In one move, since test files build at the same time, and one may run it already.
    const own = `${built}-${process.pid}`;
    execFileSync('go', ['build', '-o', own, './cmd/conduit'], { cwd: root, stdio: 'inherit' });
    renameSync(own, built);
    process.env.CONDUIT_BINARY = built;
  }
  return process.env.CONDUIT_BINARY;
}

/** freePort is kept for the server's whole life, so that a restart is found where it was. */
export async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

/**
 * until polls a condition and gives back the first truthy answer. There is no
 * other waiting in these tests, so what is slow is slow and what hangs is named.
 */
export async function until(what, condition, { within = 180_000, every = 50 } = {}) {
  const deadline = Date.now() + within;
  let last;
  for (;;) {
    try {
      const found = await condition();
      if (found) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${within} ms: ${what}`, { cause: last });
    await new Promise((done) => setTimeout(done, every));
  }
}

export class Conduit {
  output = '';
  #child;
  #known;
  #within;

  /**
   * start makes a data folder, starts the server and waits until it is ready.
   * env may ask for the address; key is one that the data folder already knows;
   * within is a command that runs the one after it.
   */
  static async start(env = {}, { folder, key, within = [] } = {}) {
    const conduit = new Conduit();
    conduit.#known = key;
    conduit.#within = within;
    conduit.port = await freePort();
    conduit.url = `http://127.0.0.1:${conduit.port}`;
    conduit.ownsFolder = folder === undefined;
    conduit.folder = folder ?? mkdtempSync(join(tmpdir(), 'conduit-e2e-'));
    conduit.env = {
      ...process.env,
      Urls: conduit.url,
      DataFolder: join(conduit.folder, 'data'),
      ...(typeof env === 'function' ? env(conduit.url) : env),
    };
    await conduit.run();
    return conduit;
  }

  async run() {
    const before = this.output.length;
    const [command, ...args] = [...this.#within, binary(), 'serve'];
    const child = spawn(command, args, { cwd: this.folder, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    child.stdout.on('data', (chunk) => (this.output += chunk));
    child.stderr.on('data', (chunk) => (this.output += chunk));
    child.ended = new Promise((done) => child.once('close', (code, signal) => done({ code, signal })));
    let over;
    void child.ended.then((how) => (over = how));
    await until('the server is ready', async () => {
      if (over) return true;
      // What people have to see is printed last, with the way to the console.
      return this.output.includes('conduit login', before) && (await fetch(`${this.url}/health/ready`)).ok;
    });
    if (over) throw new Error(`conduit serve ended at once (${over.code ?? over.signal}):\n${this.output}`);
  }

  get pid() {
    return this.#child.pid;
  }

  /** log is what the server wrote for operators, without what it printed at the first start. */
  get log() {
    return this.output.split('\n').filter((line) => line.startsWith('time=')).join('\n');
  }

  /** The first virtual key, as printed at the first start. */
  get key() {
    return this.#known ?? this.output.match(/condt_[A-Za-z0-9_-]{43}/)?.[0];
  }

  /** The one-time login link, as printed at the first start. */
  get loginLink() {
    return this.output.match(/http:\/\/\S+#login=[A-Za-z0-9_-]+/)?.[0];
  }

  /** kill ends the server at once, as a power cut would. */
  async kill() {
    this.#child.kill('SIGKILL');
    return this.#child.ended;
  }

  async terminate() {
    this.#child.kill('SIGTERM');
    return this.#child.ended;
  }

  async stop() {
    await this.kill();
    if (this.ownsFolder) rmSync(this.folder, { recursive: true, force: true });
  }

  /** cli runs a subcommand to its end. */
  cli(...args) {
    return new Promise((done) => {
      execFile(binary(), args, { cwd: this.folder, env: this.env, timeout: 300_000 }, (error, stdout, stderr) =>
        done({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }),
      );
    });
  }

  get binary() {
    return binary();
  }

  /** request calls the REST API with the first key, or with what headers say. */
  request(path, { key = this.key, headers = {}, json, ...rest } = {}) {
    return fetch(path.startsWith('http') ? path : this.url + path, {
      ...(json === undefined ? {} : { method: 'POST', body: JSON.stringify(json) }),
      ...rest,
      headers: {
        ...(key ? { Authorization: `Bearer ${key}` } : {}),
        ...(json === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
    });
  }

  /** create submits a video and gives back its task id. */
  async create(video = {}, options = {}) {
    const response = await this.request('/v1/videos/generations/async', { json: { ...short, ...video }, ...options });
    if (response.status !== 202) throw new Error(`create: ${response.status} ${await response.text()}`);
    return (await response.json()).task_id;
  }

  cancel(id) {
    return this.request(`/v1/tasks/${id}/cancel`, { method: 'POST' });
  }

  /**
   * createBehind submits a video that waits until it is let go, so that nothing
   * of it is over before somebody watches. It takes a server with
   * Renderer__MaxWorkers of 1.
   */
  async createBehind(video) {
    const before = await this.create(endless);
    return { id: await this.create(video), letGo: () => this.cancel(before) };
  }

  async task(id, options) {
    const response = await this.request(`/v1/tasks/${id}`, options);
    if (!response.ok) throw new Error(`task: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** ended waits for a task's end. */
  ended(id, options = { within: 300_000 }) {
    return until(`${id} ends`, async () => {
      const task = await this.task(id);
      return !['pending', 'running'].includes(task.status) && task;
    }, options);
  }

  /** newKey makes a virtual key on the database, beside the running server. */
  async newKey(...args) {
    const made = await this.cli('keys', 'create', ...args);
    const key = made.stdout.match(/condt_[A-Za-z0-9_-]{43}/)?.[0];
    if (made.code !== 0 || !key) throw new Error(`keys create: ${made.code}\n${made.stdout}\n${made.stderr}`);
    return { key, text: made.stdout };
  }
}

/**
 * short is done in a moment, long takes long enough to be interrupted, and
 * endless goes on for as long as a test looks, which cancels it.
 */
export const short = { prompt: 'a paper boat', size: '320x180', duration: 2, fps: 12, seed: 7 };
export const long = { prompt: 'a long way', size: '1280x720', duration: 20, fps: 30, seed: 7 };
export const endless = { ...long, size: '640x360', duration: 60 };
