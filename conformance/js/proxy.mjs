// An HTTP proxy between a client and the conformance server that does what
// networks do: it cuts, delays, goes silent and refuses, and leads elsewhere. It
// sees requests and upgrades, and treats everything behind them as bytes.

import http from 'node:http';
import net from 'node:net';

export class Proxy {
  #server;
  #target;
  #sockets = new Set(); // of clients, and of upgrades to the server
  #refusals = [];
  #elsewhere;
  #delay = 0;
  #silent = false;
  #held = [];
  #waiters = new Set();
  /** requests that came, newest last: method, path, and upgrade if it was one */
  requests = [];
  /** pieces that came from the server since the beginning */
  fromServer = 0;

  static async start(target) {
    const proxy = new Proxy();
    proxy.#target = new URL(target);
    const server = http.createServer((request, response) => proxy.#request(request, response));
    server.on('upgrade', (request, socket, head) => proxy.#upgrade(request, socket, head));
    server.on('connection', (socket) => proxy.#track(socket));
    server.keepAliveTimeout = 0;
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    proxy.#server = server;
    proxy.url = `http://127.0.0.1:${server.address().port}`;
    return proxy;
  }

  #track(socket) {
    this.#sockets.add(socket);
    socket.on('error', () => {}); // cut sockets are what this is for
    socket.on('close', () => this.#sockets.delete(socket));
  }

  /** note wakes those who wait for something to be seen. */
  #note() {
    for (const waiter of [...this.#waiters]) waiter();
  }

  /** seen resolves when condition(this) holds; it is asked after all that happens. */
  seen(condition) {
    return new Promise((done) => {
      const waiter = () => {
        if (!condition(this)) return;
        this.#waiters.delete(waiter);
        done();
      };
      this.#waiters.add(waiter);
      waiter();
    });
  }

  /** upgrades resolves when that many WebSockets were asked for. */
  upgrades(count) {
    return this.seen(() => this.requests.filter((r) => r.kind === 'websocket').length >= count);
  }

  /** pieces resolves after that many more pieces from the server. */
  pieces(count) {
    const until = this.fromServer + count;
    return this.seen(() => this.fromServer >= until);
  }

  /** cut destroys every connection that there is, without a word. */
  cut() {
    for (const socket of this.#sockets) socket.resetAndDestroy?.() ?? socket.destroy();
  }

  /**
   * refuse answers with status instead of asking the server, or destroys the
   * socket if status is 0. kind: all, negotiate, websocket, events, poll, post.
   */
  refuse({ kind = 'all', status = 0, times = Infinity }) {
    this.#refusals.push({ kind, status, times });
  }

  /** accept ends every refusal. */
  accept() {
    this.#refusals = [];
  }

  /** redirect answers negotiations itself: they are to be made at url, with this token. */
  redirect(url, accessToken) {
    this.#elsewhere = { url, accessToken };
  }

  /** delay holds back every piece, in both directions, that many milliseconds. */
  delay(milliseconds) {
    this.#delay = milliseconds;
  }

  /** silence lets connections stand but passes nothing, until speak. */
  silence() {
    this.#silent = true;
  }

  speak() {
    this.#silent = false;
    const held = this.#held;
    this.#held = [];
    for (const pass of held) pass();
  }

  #refused(kind) {
    const found = this.#refusals.find((r) => r.times > 0 && (r.kind === 'all' || r.kind === kind));
    if (found) found.times--;
    return found;
  }

  /** through passes pieces on in order, late or when speech is allowed again. */
  #through() {
    let last = Promise.resolve();
    return (pass) => {
      if (!this.#delay && !this.#silent) {
        last = last.then(pass);
        return;
      }
      const wait = this.#silent
        ? new Promise((done) => this.#held.push(done))
        : new Promise((done) => setTimeout(done, this.#delay));
      last = last.then(() => wait).then(pass);
    };
  }

  #kind(request) {
    if (/\/negotiate$/i.test(request.url.split('?')[0])) return 'negotiate';
    if (request.method === 'POST') return 'post';
    if (request.method === 'DELETE') return 'delete';
    return request.headers.accept?.includes('text/event-stream') ? 'events' : 'poll';
  }

  #options(request) {
    return {
      host: this.#target.hostname, port: this.#target.port, method: request.method, path: request.url,
      headers: { ...request.headers, host: this.#target.host }, agent: false,
    };
  }

  #request(request, response) {
    const kind = this.#kind(request);
    this.requests.push({ method: request.method, path: request.url, kind });
    this.#note();
    const refused = request.method !== 'OPTIONS' && this.#refused(kind);
    if (refused) {
      if (!refused.status) return request.socket.destroy();
      return this.#answer(request, response, refused.status, 'refused by the proxy');
    }
    if (this.#elsewhere && kind === 'negotiate' && request.method === 'POST') {
      return this.#answer(request, response, 200, JSON.stringify(this.#elsewhere));
    }
    const up = http.request(this.#options(request), (answer) => {
      const through = this.#through();
      through(() => { response.writeHead(answer.statusCode, answer.headers); response.flushHeaders(); });
      answer.on('data', (piece) => through(() => { response.write(piece); this.fromServer++; this.#note(); }));
      answer.on('end', () => through(() => response.end()));
      answer.on('error', () => response.destroy());
    });
    this.#link(up, response);
    up.on('error', () => response.destroy());
    const through = this.#through();
    request.on('data', (piece) => through(() => up.write(piece)));
    request.on('end', () => through(() => up.end()));
    through(() => up.flushHeaders());
  }

  #answer(request, response, status, text) {
    const origin = request.headers.origin;
    response.writeHead(status, origin && { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true' });
    response.end(text);
  }

  /** link ends a request to the server when the client's side is gone. */
  #link(up, response) {
    response.on('close', () => { if (!response.writableFinished) up.destroy(); });
  }

  #upgrade(request, socket, head) {
    this.requests.push({ method: request.method, path: request.url, kind: 'websocket' });
    this.#note();
    const refused = this.#refused('websocket');
    if (refused) {
      if (refused.status) socket.write(`HTTP/1.1 ${refused.status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      return refused.status ? socket.end() : socket.destroy();
    }
    const server = net.connect(Number(this.#target.port), this.#target.hostname);
    this.#track(server);
    const lines = [`${request.method} ${request.url} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      const name = request.rawHeaders[i];
      lines.push(`${name}: ${/^host$/i.test(name) ? this.#target.host : request.rawHeaders[i + 1]}`);
    }
    server.write(lines.join('\r\n') + '\r\n\r\n');
    if (head.length) server.write(head);
    const join = (from, to, seen) => {
      const through = this.#through();
      from.on('data', (piece) => through(() => { if (!to.destroyed) to.write(piece); seen?.(); }));
      from.on('end', () => through(() => to.end()));
      from.on('close', () => through(() => to.destroy()));
    };
    join(socket, server);
    join(server, socket, () => { this.fromServer++; this.#note(); });
  }

  async stop() {
    this.speak();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((done) => this.#server.close(done));
  }
}
