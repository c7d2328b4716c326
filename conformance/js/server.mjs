// The conformance server for the tests: the binary that CONFORMANCE_SERVER
// names, or one built from this checkout, on a free port.

import { execFileSync, spawn } from 'node:child_process';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..', '..');

function binary() {
  if (!process.env.CONFORMANCE_SERVER) {
    const built = join(root, 'bin', 'conformance-server');
    execFileSync('go', ['build', '-o', built, './conformance/server'], { cwd: root, stdio: 'inherit' });
    process.env.CONFORMANCE_SERVER = built;
  }
  return process.env.CONFORMANCE_SERVER;
}

export class Server {
  #child;
  output = '';

  static async start(flags = {}) {
    const server = new Server();
    server.flags = flags;
    await server.run();
    return server;
  }

  async run(addr = '127.0.0.1:0') {
    const args = Object.entries({ addr, ...this.flags }).flatMap(([name, value]) => [`-${name}`, String(value)]);
    const child = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    child.stderr.on('data', (piece) => (this.output += piece));
    let out = '';
    await new Promise((ready, failed) => {
      child.stdout.on('data', (piece) => {
        out += piece;
        const found = out.match(/listening on (\S+)\n/);
        if (found) { this.addr = found[1]; ready(); }
      });
      child.once('error', failed);
      child.once('close', (code) => failed(new Error(`the conformance server ended (${code}):\n${this.output}`)));
    });
    this.url = `http://${this.addr}`;
  }

  /** restart ends the server as its operator would and starts it where it was. */
  async restart() {
    await this.stop();
    await this.run(this.addr);
  }

  async stop() {
    const ended = new Promise((done) => this.#child.once('close', done));
    this.#child.kill('SIGTERM');
    await ended;
  }
}

/** The servers of a run, by what is special about them. */
export async function startServers() {
  const started = await Promise.all(Object.entries({
    main: { slow: 'wait' },
    plain: { detailed: 0 }, // errors without their detail
    quick: { 'keepalive-ms': 1000, 'client-timeout-ms': 4000 },
    parallel: { parallel: 4 },
  }).map(async ([name, flags]) => [name, await Server.start(flags)]));
  return Object.fromEntries(started);
}
