// A server that speaks the hub protocol as far as the SDK uses it, and does
// what a test says.

import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const end = '\x1e';

export class FakeHub {
  connections = []; // open ones
  opened = 0;
  calls = []; // [method, ...arguments]
  negotiations = []; // urls
  requests = []; // of REST: { method, url, headers, body }
  /** Methods by name: (connection, ...arguments) => result; what is missing does not exist. */
  methods = {
    SubscribeToTasks: (connection, asked) => asked.map(({ taskId, afterSequence }) => this.subscribed(connection, taskId, afterSequence)),
    UnsubscribeFromTasks: () => null,
  };
  negotiate; // (request, response) => true: it has answered
  rest; // (request, response) => void

  static async start() {
    const hub = new FakeHub();
    hub.server = createServer((req, res) => hub.answer(req, res));
    hub.sockets = new WebSocketServer({ server: hub.server });
    hub.sockets.on('connection', (socket) => hub.connected(socket));
    await new Promise((done) => hub.server.listen(0, '127.0.0.1', done));
    hub.url = `http://127.0.0.1:${hub.server.address().port}`;
    return hub;
  }

  async stop() {
    for (const socket of this.sockets.clients) socket.terminate();
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  /** subscribed is overridden by tests. */
  subscribed(_connection, taskId) {
    return { taskId };
  }

  answer(req, res) {
    if (req.url.startsWith('/hubs/') && req.method === 'POST') {
      this.negotiations.push(req.url);
      if (this.negotiate?.(req, res)) return;
      const id = `c${this.negotiations.length}`;
      return res.end(JSON.stringify({
        negotiateVersion: 1, connectionId: id, connectionToken: id,
        availableTransports: [{ transport: 'WebSockets', transferFormats: ['Text', 'Binary'] }],
      }));
    }
    let body = '';
    req.on('data', (chunk) => (body += chunk));
    req.on('end', () => {
      const { method, url, headers } = req;
      this.requests.push({ method, url, headers, body });
      this.rest(this.requests.at(-1), res);
    });
  }

  connected(socket) {
    this.opened++;
    const connection = {
      send: (message) => socket.send(JSON.stringify(message) + end),
      event: (name, payload) => connection.send({ type: 1, target: name, arguments: [payload] }),
      drop: () => socket.terminate(),
    };
    socket.on('close', () => (this.connections = this.connections.filter((c) => c !== connection)));
    let greeted = false;
    socket.on('message', (data) => {
      for (const text of data.toString().split(end).filter(Boolean)) {
        if (!greeted) {
          greeted = true;
          this.connections.push(connection);
          socket.send('{}' + end);
          continue;
        }
        const message = JSON.parse(text);
        if (message.type !== 1) continue;
        const { target, arguments: args, invocationId } = message;
        this.calls.push([target, ...args]);
        const answer = (fields) => invocationId && socket.readyState === 1 && connection.send({ type: 3, invocationId, ...fields });
        try {
          if (!this.methods[target]) throw new Error(`Failed to invoke '${target}' due to an error on the server. HubException: Method does not exist.`);
          const result = this.methods[target](connection, ...args);
          if (result instanceof Promise) void result.then((later) => answer({ result: later ?? null }));
          else answer({ result: result ?? null }); // in the same moment as what it sent
        } catch (error) {
          answer({ error: error.message });
        }
      }
    });
  }

  /** all sends an event on every connection. */
  all(event) {
    for (const connection of this.connections) connection.event(nameOf(event), event);
  }

  named(method) {
    return this.calls.filter(([name]) => name === method).map(([, ...args]) => args);
  }
}

const nameOf = (event) => event.eventType.replace(/^(Video|Image)Generation/, '');

/** event makes an event as servers send it. */
export function event(name, taskId, sequence, more = {}) {
  return { eventType: `VideoGeneration${name}`, taskId, sequence, attempt: 1, timestamp: '2026-11-22T10:00:00.123Z', ...more };
}

export const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** until polls a condition. */
export async function until(what, condition, within = 20_000) {
  const deadline = Date.now() + within;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within ${within} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}
