// A proxy in front of a server, for everything that can go wrong between.

import { createServer, request } from 'node:http';
import { connect } from 'node:net';

export class Proxy {
  delay = 0; // milliseconds before a request goes on
  refuse; // (request) => truthy: refuse; a number: the status of a page
  refuseUpgrade = false;
  hangUpgrade = false; // never answered
  frozen = false; // what the server sends over WebSockets goes no further
  loseAnswers = 0; // answers to POST that the client never gets
  requests = []; // METHOD URL; upgrades as UPGRADE URL
  frames = 0; // pieces that the server sent over WebSockets
  sockets = new Set();

  static async start(port) {
    const proxy = new Proxy();
    proxy.target = port;
    proxy.server = createServer((req, res) => proxy.forward(req, res));
    proxy.server.on('upgrade', (req, socket, head) => proxy.upgrade(req, socket, head));
    proxy.server.on('connection', (socket) => {
      proxy.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => proxy.sockets.delete(socket));
    });
    await new Promise((done) => proxy.server.listen(0, '127.0.0.1', done));
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  /** cut ends every connection at once. */
  cut() {
    for (const socket of this.sockets) socket.destroy();
  }

  async stop() {
    this.cut();
    await new Promise((done) => this.server.close(done));
  }

  /** count is how many requests match. */
  count(pattern) {
    return this.requests.filter((request) => pattern.test(request)).length;
  }

  forward(req, res) {
    this.requests.push(`${req.method} ${req.url}`);
    const refused = this.refuse?.(req);
    if (refused) {
      res.writeHead(typeof refused === 'number' ? refused : 503, { 'content-type': 'text/html' });
      return res.end('<html><h1>This is a proxy</h1></html>');
    }
    setTimeout(() => {
      const { method, url, headers } = req;
      const out = request({ host: '127.0.0.1', port: this.target, method, path: url, headers }, (answer) => {
        if (method === 'POST' && this.loseAnswers > 0) {
          this.loseAnswers--;
          answer.resume();
          return req.socket.destroy();
        }
        res.writeHead(answer.statusCode, answer.headers);
        res.flushHeaders();
        answer.pipe(res);
        answer.on('error', () => res.destroy());
      });
      out.on('error', () => res.destroy());
      res.on('close', () => out.destroy());
      req.pipe(out);
    }, this.delay);
  }

  upgrade(req, socket, head) {
    this.requests.push(`UPGRADE ${req.url}`);
    if (this.hangUpgrade) return;
    if (this.refuseUpgrade || this.refuse?.(req)) return socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    const out = connect(this.target, '127.0.0.1', () => {
      const lines = [`${req.method} ${req.url} HTTP/1.1`];
      for (let i = 0; i < req.rawHeaders.length; i += 2) lines.push(`${req.rawHeaders[i]}: ${req.rawHeaders[i + 1]}`);
      out.write(lines.join('\r\n') + '\r\n\r\n');
      out.write(head);
      socket.pipe(out);
      out.on('data', (data) => {
        this.frames++;
        if (!this.frozen) socket.write(data);
      });
    });
    out.on('error', () => socket.destroy());
    out.on('close', () => socket.destroy());
    socket.on('close', () => out.destroy());
  }
}
