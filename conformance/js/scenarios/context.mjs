// What a scenario works with, in Node and in a page alike.

import * as signalR from '@microsoft/signalr';
import { MessagePackHubProtocol } from '@microsoft/signalr-protocol-msgpack';
import { deferred } from './check.mjs';

export { signalR };

/** The five combinations: server-sent events carry text only. */
export const combinations = [
  { name: 'WebSockets, JSON', transport: 'WebSockets', protocol: 'json' },
  { name: 'WebSockets, MessagePack', transport: 'WebSockets', protocol: 'messagepack' },
  { name: 'server-sent events, JSON', transport: 'ServerSentEvents', protocol: 'json' },
  { name: 'long polling, JSON', transport: 'LongPolling', protocol: 'json' },
  { name: 'long polling, MessagePack', transport: 'LongPolling', protocol: 'messagepack' },
];

let counter = 0;

/** Inbox keeps the calls of one client method; next takes them in order. */
class Inbox {
  calls = [];
  #taken = 0;
  #waiting = [];

  constructor(connection, method, wanted = () => true) {
    connection.on(method, (...args) => {
      if (!wanted(...args)) return;
      this.calls.push(args);
      this.#waiting.shift()?.();
    });
  }

  /** next gives the arguments of the next call. */
  async next() {
    const i = this.#taken++;
    while (this.calls.length <= i) await new Promise((came) => this.#waiting.push(came));
    return this.calls[i];
  }

  async take(count) {
    const all = [];
    while (all.length < count) all.push(...(await this.next()));
    return all;
  }
}

export class Context {
  #cleanups = [];

  /**
   * combo: one of combinations. urls: the servers by name. remote(name, ...args):
   * what a page cannot do itself: proxies and servers.
   */
  constructor(combo, urls, remote) {
    this.combo = combo;
    this.urls = urls;
    this.remote = remote;
    this.json = combo.protocol === 'json';
    this.webSockets = combo.transport === 'WebSockets';
    this.polling = combo.transport === 'LongPolling';
  }

  /** unique makes a name that no other scenario of the run has. */
  unique(what) {
    return `${what}-${Date.now().toString(36)}-${++counter}-${Math.random().toString(36).slice(2, 8)}`;
  }

  /** proxy starts a proxy before a server; its methods are asynchronous. */
  async proxy(url = this.urls.main) {
    const { id, url: at } = await this.remote('proxy', url);
    this.cleanup(() => this.remote('stop', id));
    const handle = { url: at };
    for (const method of ['cut', 'refuse', 'accept', 'redirect', 'delay', 'silence', 'speak', 'pieces', 'upgrades', 'requests']) {
      handle[method] = (...args) => this.remote(method, id, ...args);
    }
    if (typeof window !== 'undefined' && this.polling) {
      // A browser asks again by itself, unseen, when its poll is cut off.
      const { cut } = handle;
      handle.cut = async () => {
        await handle.refuse({ kind: 'poll', status: 500, times: 1 });
        await cut();
      };
    }
    return handle;
  }

  /**
   * build makes a connection that is not started.
   * url: of the server, default main. hub: path. transport: number, default the
   * combination's. reconnect: delays. stateful: options. options: of withUrl.
   */
  build({ url = this.urls.main, hub = '/testhub', transport, reconnect, stateful, options = {} } = {}) {
    const builder = new signalR.HubConnectionBuilder()
      .withUrl(url + hub, { transport: transport ?? signalR.HttpTransportType[this.combo.transport], ...options })
      .configureLogging(signalR.LogLevel.None);
    const protocol = this.json ? new signalR.JsonHubProtocol() : new MessagePackHubProtocol();
    const uploaded = deferred();
    const write = protocol.writeMessage.bind(protocol);
    protocol.writeMessage = (message) => {
      if (message.type === signalR.MessageType.Completion) uploaded.resolve();
      return write(message);
    };
    builder.withHubProtocol(protocol);
    if (reconnect) builder.withAutomaticReconnect(reconnect);
    if (stateful) builder.withStatefulReconnect(stateful === true ? undefined : stateful);
    const connection = builder.build();
    const over = deferred();
    connection.onclose((error) => over.resolve(error?.message ?? null));
    connection.uploaded = uploaded.promise; // when the first upload has ended
    connection.closed = over.promise; // with the message of its error, or null
    this.cleanup(() => connection.stop());
    return connection;
  }

  /** connect makes a connection and starts it. */
  async connect(how) {
    const connection = this.build(how);
    await connection.start();
    return connection;
  }

  /** inbox collects the calls of a method, those that wanted lets pass. */
  inbox(connection, method, wanted) {
    return new Inbox(connection, method, wanted);
  }

  /** watcher hears how connections of a server end: gone(id) gives the error, or null. */
  async watcher(url = this.urls.main) {
    const watcher = this.build({ url });
    watcher.keepAliveIntervalInMilliseconds = 500; // a server of the tests may be impatient
    await watcher.start();
    const ended = new Map(), waiting = new Map();
    watcher.on('Left', (id, error) => {
      ended.set(id, error);
      waiting.get(id)?.();
    });
    await watcher.invoke('Join', 'watchers');
    return {
      async gone(id) {
        if (!ended.has(id)) await new Promise((came) => waiting.set(id, came));
        return ended.get(id);
      },
    };
  }

  /** post sends a POST to a server and gives its status and text. */
  async post(path, { url = this.urls.main, ...init } = {}) {
    const answer = await fetch(url + path, { method: 'POST', ...init });
    return { status: answer.status, text: await answer.text() };
  }

  /** outside sends from outside the hub. */
  async outside(what, a = '', b = '') {
    const answer = await this.post('/backplane?' + new URLSearchParams({ what, a, b }));
    if (answer.status !== 200) throw new Error(answer.text);
    return answer.text;
  }

  /** event resolves with the arguments of the next call of a subscription. */
  event(subscribe) {
    return new Promise((done) => subscribe((...args) => done(args)));
  }

  cleanup(f) {
    this.#cleanups.push(f);
  }

  async end() {
    const all = this.#cleanups;
    this.#cleanups = [];
    await Promise.allSettled(all.reverse().map((f) => f()));
  }
}
