// The life of a connection: beginnings, limits, ends, silence.

import { same, ok, fails, deferred } from './check.mjs';
import { signalR } from './context.mjs';

const tooLarge = 'The maximum message size of 32768B was exceeded. The message size can be configured in AddHubOptions.';
const closedWith = (detail) => `Server returned an error on close: Connection closed with an error.${detail}`;
const cancelled = 'Invocation canceled due to the underlying connection being closed.';

export const life = {
  async 'start, stop, and start again'(t) {
    const c = t.build();
    same(c.state, 'Disconnected');
    await c.start();
    same(c.state, 'Connected');
    const first = c.connectionId;
    ok(/^[\w-]{22}$/.test(first), 'an id of 22 characters');
    await c.stop();
    same([c.state, await c.closed], ['Disconnected', null]);
    await c.start();
    ok(c.connectionId !== first, 'a new id');
    same(await c.invoke('Echo', 'again'), 'again');
  },

  async 'a stop is a regular end for the hub'(t) {
    const { gone } = await t.watcher();
    const c = await t.connect();
    const id = c.connectionId;
    await c.stop();
    same(await gone(id), null);
  },

  async 'a stop ends the calls under way'(t) {
    const c = await t.connect();
    const asked = deferred();
    c.on('Ask', () => { asked.resolve(); return new Promise(() => {}); });
    const call = c.invoke('AskCaller', '?');
    await asked.promise;
    const failed = fails(call, cancelled);
    await c.stop();
    await failed;
  },

  async 'many start and stop at once'(t) {
    await Promise.all([...Array(5).keys()].map(async (i) => { // browsers have six connections to a server
      const c = await t.connect();
      same(await c.invoke('Add', i, 1), i + 1);
      await c.stop();
    }));
  },

  async 'a hub that is not there'(t) {
    await fails(t.connect({ hub: '/nosuchhub' }), /Status code '404'.*Either this is not a SignalR endpoint or there is a proxy blocking the connection/);
  },

  async 'a query of the hub is kept'(t) {
    const proxy = await t.proxy();
    const c = await t.connect({ url: proxy.url, hub: '/testhub?tenant=a%20b&x=1' });
    same(await c.invoke('Echo', 'x'), 'x');
    await c.stop();
    for (const { path } of await proxy.requests()) ok(/tenant=a(%20|\+)b&x=1/.test(path), `${path} has the query`);
  },

  async 'only WebSockets may do without negotiation'(t) {
    if (!t.webSockets) {
      await fails(t.connect({ options: { skipNegotiation: true } }),
        'Negotiation can only be skipped when using the WebSocket transport directly.');
      return;
    }
    const proxy = await t.proxy();
    const c = await t.connect({ url: proxy.url, options: { skipNegotiation: true } });
    same([c.connectionId ?? null, await c.invoke('GetTransport')], [null, 'WebSockets']);
    ok((await c.invoke('GetConnectionId')).length === 22, 'the hub has an id for it');
    same((await proxy.requests()).map((r) => r.kind), ['websocket']);
  },

  async 'a negotiation that leads elsewhere'(t) {
    const proxy = await t.proxy();
    const user = t.unique('ida');
    await proxy.redirect(`${t.urls.main}/authhub?x=1`, `${user}:60`);
    const c = await t.connect({ url: proxy.url, hub: '/elsewhere', options: { accessTokenFactory: () => 'not for there' } });
    same(await c.invoke('GetUser'), user);
    same((await proxy.requests()).filter((r) => r.method !== 'OPTIONS').map((r) => r.kind), ['negotiate']);
  },

  async 'without WebSockets the next transport is tried'(t) {
    const proxy = await t.proxy();
    await proxy.refuse({ kind: 'websocket', status: 503 });
    const c = await t.connect({ url: proxy.url, transport: 7 });
    same(await c.invoke('GetTransport'), t.json ? 'ServerSentEvents' : 'LongPolling');
  },

  async 'no transport is left'(t) {
    const proxy = await t.proxy();
    for (const kind of ['websocket', 'events', 'poll']) await proxy.refuse({ kind, status: 404 });
    await fails(t.connect({ url: proxy.url }), /Unable to connect to the server with any of the available transports|Failed to connect|Status code '503'|503/);
  },

  async 'text only over server-sent events'(t) {
    if (t.json) return same(await (await t.connect()).invoke('Echo', 'x'), 'x');
    await fails(t.connect({ transport: signalR.HttpTransportType.ServerSentEvents }),
      /ServerSentEvents failed|does not support Binary|None of the transports|Unable to connect/);
  },

  async 'negotiation is refused, then not'(t) {
    const proxy = await t.proxy();
    await proxy.refuse({ kind: 'negotiate', status: 503, times: 1 });
    const c = t.build({ url: proxy.url });
    await fails(c.start(), /Status code '503'/);
    await c.start();
    same(await c.invoke('Echo', 'x'), 'x');
  },

  async 'the network is down, then not'(t) {
    const proxy = await t.proxy();
    await proxy.refuse({ times: 1 });
    const c = t.build({ url: proxy.url });
    await fails(c.start(), /Failed to complete negotiation/);
    await c.start();
    same(await c.invoke('Echo', 'x'), 'x');
  },

  async 'a slow network'(t) {
    const proxy = await t.proxy();
    await proxy.delay(25);
    const c = await t.connect({ url: proxy.url });
    c.on('Ask', (question) => `${question}!`);
    const inbox = t.inbox(c, 'Number');
    same(await Promise.all([c.invoke('Add', 1, 2), c.invoke('AskCaller', 'late?'), c.invoke('Burst', 100)]), [3, 'late?!', null]);
    same(inbox.calls.map(([n]) => n), [...Array(100).keys()]);
  },

  async 'the hub aborts the connection'(t) {
    const { gone } = await t.watcher();
    const c = await t.connect();
    const id = c.connectionId;
    await c.send('Abort');
    same(await c.closed, null);
    same(await gone(id), null);
  },

  async 'no answer to a call that aborts'(t) {
    const c = await t.connect();
    await fails(c.invoke('Abort'), cancelled);
    same(await c.closed, null);
  },

  async 'a message over the limit'(t) {
    const { gone } = await t.watcher();
    const c = await t.connect();
    const id = c.connectionId;
    const sentence = closedWith(` InvalidDataException: ${tooLarge}`);
    await fails(c.invoke('Echo', 'x'.repeat(33_000)), sentence);
    same(await c.closed, sentence);
    same(await gone(id), tooLarge);
  },

  async 'the same without details'(t) {
    const c = await t.connect({ url: t.urls.plain });
    await fails(c.invoke('Echo', 'x'.repeat(33_000)), closedWith(''));
  },

  async 'the wire is cut'(t) {
    const { gone } = await t.watcher();
    const proxy = await t.proxy();
    const c = await t.connect({ url: proxy.url });
    const id = c.connectionId;
    const asked = deferred();
    c.on('Ask', () => { asked.resolve(); return new Promise(() => {}); });
    const call = c.invoke('AskCaller', '?');
    await asked.promise;
    const failed = fails(call);
    await proxy.refuse({});
    await proxy.cut();
    const error = await c.closed;
    await failed;
    if (t.webSockets) same(error, 'WebSocket closed with status code: 1006 (no reason given).');
    if (!t.polling) await gone(id); // a poller may come back for 15 s
  },

  async 'pings keep both sides content'(t) {
    const proxy = await t.proxy(t.urls.quick);
    const c = t.build({ url: proxy.url });
    c.serverTimeoutInMilliseconds = 3800; // less than the two pings take
    c.keepAliveIntervalInMilliseconds = 500; // from the start: a ping that is due already is sent when the server's comes
    await c.start();
    const id = c.connectionId;
    if (!t.polling) await proxy.pieces(2); // long polling has no pings
    same([await c.invoke('GetConnectionId'), c.state], [id, 'Connected']);
  },

  async 'a client that falls silent'(t) {
    if (t.polling) return; // its polls are its life
    const { gone } = await t.watcher(t.urls.quick);
    const proxy = await t.proxy(t.urls.quick);
    const c = await t.connect({ url: proxy.url });
    same(await c.invoke('Echo', 'x'), 'x'); // the ping that arms the clock came before
    const id = c.connectionId;
    await proxy.silence();
    const sentence = "Client hasn't sent a message/ping within the configured ClientTimeoutInterval.";
    same(await gone(id), sentence);
    await proxy.speak();
    same(await c.closed, closedWith(` OperationCanceledException: ${sentence}`));
  },

  async 'a server that falls silent'(t) {
    if (t.polling) return;
    const proxy = await t.proxy();
    const c = t.build({ url: proxy.url });
    c.serverTimeoutInMilliseconds = 1500;
    await c.start();
    await proxy.silence();
    same(await c.closed, 'Server timeout elapsed without receiving a message from the server.');
  },
};
