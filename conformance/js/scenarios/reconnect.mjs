// Reconnecting: anew, and into the same connection.

import { same, ok, fails, deferred } from './check.mjs';
import { signalR } from './context.mjs';

const delays = [0, 50, ...Array(300).fill(100)]; // as long as a scenario may take

/** flag resolves when a callback of the connection was called. */
const reconnecting = (t, c) => t.event((f) => c.onreconnecting(f));
const reconnected = (t, c) => t.event((f) => c.onreconnected(f));

export const reconnect = {
  async 'a cut is mended by a new connection'(t) {
    const proxy = await t.proxy();
    const c = await t.connect({ url: proxy.url, reconnect: delays });
    const inbox = t.inbox(c, 'Message');
    const group = t.unique('group');
    await c.invoke('Join', group);
    const id = c.connectionId;
    const [lost, back] = [reconnecting(t, c), reconnected(t, c)];
    await proxy.cut();
    const [error] = await lost;
    if (t.combo.transport !== 'ServerSentEvents') ok(error instanceof Error, 'an error says why'); // an EventSource has none
    const [newID] = await back;
    ok(newID !== id && newID === c.connectionId, 'a new id');
    same(await c.invoke('GetConnectionId'), newID);
    await c.invoke('SendToGroup', group, 'nobody is in it');
    await c.invoke('SendToCaller', 'handlers stay');
    same(inbox.calls, [['handlers stay']]);
  },

  async 'calls under way fail, calls meanwhile too'(t) {
    const proxy = await t.proxy();
    const c = await t.connect({ url: proxy.url, reconnect: delays });
    const asked = deferred();
    c.on('Ask', () => { asked.resolve(); return new Promise(() => {}); });
    const call = c.invoke('AskCaller', '?');
    await asked.promise;
    const failed = fails(call);
    const [lost, back] = [reconnecting(t, c), reconnected(t, c)];
    await proxy.refuse({});
    await proxy.cut();
    await lost;
    await failed;
    await fails(c.invoke('Echo', 'x'), "Cannot send data if the connection is not in the 'Connected' State.");
    await proxy.accept();
    await back;
    same(await c.invoke('Echo', 'x'), 'x');
  },

  async 'several attempts'(t) {
    const proxy = await t.proxy();
    const retries = [];
    const c = await t.connect({
      url: proxy.url,
      reconnect: { nextRetryDelayInMilliseconds: (r) => { retries.push(r.previousRetryCount); return 10; } },
    });
    const back = reconnected(t, c);
    await proxy.refuse({ kind: 'negotiate', status: 500, times: 3 });
    await proxy.cut();
    await back;
    same(retries, [0, 1, 2, 3]);
    same(await c.invoke('Echo', 'x'), 'x');
  },

  async 'no more attempts'(t) {
    const proxy = await t.proxy();
    const c = await t.connect({ url: proxy.url, reconnect: [0, 10, 20] });
    await proxy.refuse({ status: 500 });
    await proxy.cut();
    ok(await c.closed !== undefined, 'closed');
    same(c.state, 'Disconnected');
  },

  async 'the server lets a client reconnect that sent too much'(t) {
    const c = await t.connect({ reconnect: delays });
    const id = c.connectionId;
    const back = reconnected(t, c);
    await fails(c.invoke('Echo', 'x'.repeat(33_000)), /maximum message size/);
    const [newID] = await back;
    ok(newID !== id, 'a new id');
    same(await c.invoke('Echo', 'x'), 'x');
  },

  async 'an aborted connection stays away'(t) {
    const c = await t.connect({ reconnect: delays });
    c.onreconnecting(() => { throw new Error('reconnects'); });
    await c.send('Abort');
    same(await c.closed, null);
    same(c.state, 'Disconnected');
  },

  async 'a server that goes down and comes back'(t) {
    const { id, url } = await t.remote('server');
    t.cleanup(() => t.remote('stop', id));
    const c = await t.connect({ url, reconnect: delays });
    const old = c.connectionId;
    const [lost, back] = [reconnecting(t, c), reconnected(t, c)];
    await t.remote('restart', id);
    await lost;
    await back;
    ok(c.connectionId !== old, 'a new id');
    same(await c.invoke('Echo', 'x'), 'x');
  },

  async 'stateful: a cut loses nothing'(t) {
    const proxy = await t.proxy();
    const c = await t.connect({ url: proxy.url, stateful: true, reconnect: delays });
    const id = c.connectionId;
    const inbox = t.inbox(c, 'Number');
    const burst = c.invoke('Burst', 3000);
    if (!t.webSockets) { // negotiated for WebSockets only: a plain reconnect
      await burst;
      const back = reconnected(t, c);
      await proxy.cut();
      await back;
      ok(c.connectionId !== id, 'a new id');
      return;
    }
    c.onreconnecting(() => { throw new Error('reconnects'); });
    for (let i = 0; i < 100; i++) await inbox.next();
    await proxy.cut();
    await burst;
    same(inbox.calls.map(([n]) => n), [...Array(3000).keys()]);
    same([c.connectionId, await c.invoke('GetConnectionId')], [id, id]);
  },

  async 'stateful: cut again and again'(t) {
    if (!t.webSockets) return;
    const proxy = await t.proxy();
    const c = await t.connect({ url: proxy.url, stateful: true });
    c.on('Ask', (question) => `${question}!`);
    const id = c.connectionId;
    const inbox = t.inbox(c, 'Number');
    const subject = new signalR.Subject();
    const sum = c.invoke('Sum', subject);
    let sent = 0;
    for (let round = 0; round < 5; round++) {
      const calls = Promise.all([c.invoke('Burst', 50), c.invoke('Add', round, 1), c.invoke('AskCaller', `${round}`)]);
      for (let i = 0; i < 20; i++) subject.next(sent++);
      await proxy.cut();
      same(await calls, [null, round + 1, `${round}!`]);
      await proxy.upgrades(round + 2);
      same(await c.invoke('Echo', 'back'), 'back'); // a cut while it comes back would be the end
    }
    subject.complete();
    same(await sum, sent * (sent - 1) / 2);
    same(inbox.calls.map(([n]) => n), [].concat(...Array(5).fill([...Array(50).keys()])));
    same(await c.invoke('GetConnectionId'), id);
  },

  async 'stateful: groups stay, messages meanwhile come'(t) {
    if (!t.webSockets) return;
    const proxy = await t.proxy();
    const c = await t.connect({ url: proxy.url, stateful: true });
    const other = await t.connect();
    const inbox = t.inbox(c, 'Message');
    const group = t.unique('group');
    await c.invoke('Join', group);
    await proxy.silence(); // the client does not come back before all is sent
    await proxy.cut();
    for (let i = 0; i < 50; i++) await other.invoke('SendToGroup', group, `${i}`);
    await proxy.speak();
    same(await inbox.take(50), [...Array(50).keys()].map(String));
  },

  async 'stateful: refused, then a new connection'(t) {
    if (!t.webSockets) return;
    const proxy = await t.proxy();
    const c = await t.connect({ url: proxy.url, stateful: true, reconnect: delays });
    const id = c.connectionId;
    const back = reconnected(t, c);
    await proxy.refuse({ kind: 'websocket', status: 404, times: 1 });
    await proxy.cut();
    await back;
    ok(c.connectionId !== id, 'a new id');
    same(await c.invoke('Echo', 'x'), 'x');
  },

  async 'stateful: a hub that does not offer it'(t) {
    const c = await t.connect({ hub: '/bench', stateful: true });
    same(await c.invoke('Echo', 'x'), 'x');
  },
};
