// Every option, at its default and changed, against the real server.

import assert from 'node:assert/strict';
import { after, afterEach, before, mock, test } from 'node:test';
import { Conduit, long, short } from '../../../e2e/conduit.mjs';
import { ConduitCoreClient, ConnectionError, ServerError, TimeoutError } from '@knn_labs/conduit-core-client';
import { quiet, until } from './fakehub.mjs';
import { Proxy } from './proxy.mjs';

let conduit, proxy, ended; // the proxy leads to the server; ended is a task that has
const idle = {}; // a connection on which nothing happens, while the other tests run
const clients = [];
before(async () => {
  conduit = await Conduit.start();
  proxy = await Proxy.start(conduit.port);
  ({ taskId: ended } = await client().videos.generate({ ...short }));
  idle.proxy = await Proxy.start(conduit.port);
  idle.client = new ConduitCoreClient({ apiKey: conduit.key, baseURL: idle.proxy.url, logger: quiet, signalR: { serverTimeout: 10_000 } });
  idle.lost = losses(idle.client);
  await idle.client.connect();
  idle.began = idle.proxy.frames;
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((c) => c.disconnect()));
  Object.assign(proxy, { delay: 0, refuse: undefined, refuseUpgrade: false, frozen: false, requests: [] });
  mock.restoreAll();
  delete globalThis.location;
  delete process.env.CONDUIT_API_KEY;
  delete process.env.CONDUIT_BASE_URL;
});
after(async () => {
  await idle.client?.disconnect();
  await idle.proxy?.stop();
  await proxy?.stop();
  await conduit?.stop();
});

/** client says nothing of what is not given, but for where and who. */
function client(options = {}) {
  const c = new ConduitCoreClient({ apiKey: conduit.key, baseURL: proxy.url, logger: quiet, ...options });
  clients.push(c);
  return c;
}

/** lines gathers what is logged, by function. */
function lines() {
  const all = { debug: [], info: [], warn: [], error: [] };
  const logger = Object.fromEntries(Object.keys(all).map((level) => [level, (line) => all[level].push(line)]));
  return { ...all, logger, count: () => Object.values(all).map((of) => of.length), text: () => Object.values(all).flat().join('\n') };
}

/** losses gathers why there is no connection, and in how many milliseconds the next attempt comes. */
function losses(c) {
  const all = [];
  c.onConnectionChange(({ error, retryIn }) => error && all.push({ error, retryIn }));
  return all;
}

const assertEnd = async (c) => assert.equal((await c.videos.watch(ended).done).eventType, 'VideoGenerationCompleted');
const noHubs = (request) => request.url.startsWith('/hubs/');

test('apiKey: given, by a function, from the environment, none', async () => {
  await assertEnd(client());
  await assertEnd(client({ apiKey: async () => conduit.key }));
  process.env.CONDUIT_API_KEY = conduit.key;
  await assertEnd(client({ apiKey: undefined }));
  delete process.env.CONDUIT_API_KEY;
  globalThis.location = { origin: proxy.url }; // a page, which has a cookie or not
  await assert.rejects(client({ apiKey: undefined, baseURL: undefined }).videos.watch(ended).done, { name: 'AuthenticationError' });
});

test("baseURL: given, the page's, from the environment, api.conduit.ai", async () => {
  globalThis.location = { origin: proxy.url };
  await assertEnd(client({ baseURL: undefined }));
  delete globalThis.location;
  process.env.CONDUIT_BASE_URL = proxy.url;
  await assertEnd(client({ baseURL: undefined }));
  delete process.env.CONDUIT_BASE_URL;
  const urls = [];
  const led = (url, init) => (urls.push(String(url)), fetch(String(url).replace('https://api.conduit.ai', proxy.url), init));
  assert.equal((await client({ baseURL: undefined, fetch: led }).videos.get(ended)).status, 'completed');
  assert.deepEqual(urls, [`https://api.conduit.ai/v1/videos/generations/tasks/${ended}`]);
  await assert.rejects(client({ baseURL: `${proxy.url}/elsewhere`, maxRetries: 0 }).videos.get(ended), { name: 'NotFoundError' });
});

test('debug and logger: requests and answers are told, without the key; and where', async () => {
  const own = lines();
  const c = client({ debug: true, logger: own.logger });
  await c.videos.get(ended);
  await assertEnd(c);
  assert.match(own.text(), /GET .*\/v1\/videos\/generations\/tasks\/task_\w+: 200 \{"task_id"/);
  assert.match(own.text(), /POST .*\/hubs\/video-generation\/negotiate\?.*: 200 \{/);
  assert.ok(!own.text().includes(conduit.key));
  const silent = lines();
  const other = client({ logger: silent.logger });
  await other.videos.get(ended);
  await assertEnd(other);
  assert.doesNotMatch(silent.text(), /GET |POST /);
  const said = mock.method(console, 'info', () => {});
  await assertEnd(client({ logger: undefined }));
  assert.ok(said.mock.callCount() > 0, 'the console is the logger');
});

test('logLevel: Information, and each of the seven', async () => {
  const counts = {};
  for (const logLevel of [undefined, 'Trace', 'Debug', 'Information', 'Warning', 'Error', 'Critical', 'None']) {
    const own = lines();
    await assertEnd(client({ logger: own.logger, signalR: { logLevel } }));
    // Lost for good, which is a warning and an error.
    proxy.refuse = noHubs;
    await assert.rejects(client({ logger: own.logger, signalR: { logLevel, reconnectAttempts: 1, reconnectInterval: 1 } }).videos.watch(ended).done);
    proxy.refuse = undefined;
    counts[logLevel] = own.count();
  }
  const told = Object.fromEntries(Object.entries(counts).map(([level, n]) => [level, n.map((x) => x > 0)]));
  assert.deepEqual(told, {
    undefined: [false, true, true, true], Trace: [true, true, true, true], Debug: [true, true, true, true], Information: [false, true, true, true],
    Warning: [false, false, true, true], Error: [false, false, false, true], Critical: [false, false, false, false], None: [false, false, false, false],
  });
  assert.ok(counts.Trace[0] > counts.Debug[0]);
});

test('timeout and maxRetries', async () => {
  proxy.delay = 1500;
  await assert.rejects(client({ timeout: 100, maxRetries: 1 }).videos.get(ended), (e) => e instanceof TimeoutError && /within 100 ms/.test(e.message));
  assert.equal((await client().videos.get(ended)).status, 'completed');
  proxy.delay = 0;
  proxy.refuse = () => 503;
  for (const [options, requests] of [[{}, 3], [{ maxRetries: 0 }, 1], [{ maxRetries: 1 }, 2]]) {
    proxy.requests = [];
    await assert.rejects(client(options).videos.get(ended), ServerError);
    assert.equal(proxy.requests.length, requests);
  }
});

test('pollInterval and fetch', async () => {
  const { task_id } = await client().videos.generateAsync({ ...long });
  const polls = async (options) => {
    const at = [];
    const noStream = (url, init) => {
      if (String(url).endsWith('/events')) return Promise.resolve(new Response('<html>', { headers: { 'content-type': 'text/html' } }));
      at.push(performance.now());
      return fetch(url, init);
    };
    const watch = client({ fetch: noStream, signalR: { enabled: false }, ...options }).videos.watch(task_id);
    await until('it is asked for twice', () => at.length >= 2);
    watch.close();
    return at[1] - at[0];
  };
  assert.ok((await polls({})) >= 1990);
  assert.ok((await polls({ pollInterval: 100 })) >= 95);
  await client().videos.cancel(task_id);
});

test('enabled and autoConnect', async () => {
  const off = client({ signalR: { enabled: false } });
  await assertEnd(off);
  assert.equal(proxy.count(/hubs/), 0);
  await assert.rejects(off.connect(), { name: 'InvalidOptionError', option: 'signalR.enabled' });
  const c = client();
  await assertEnd(c);
  await until('the connection closes with the last watch', () => c.connectionState() === 'disconnected');
  const byHand = client({ signalR: { autoConnect: false } });
  await assert.rejects(byHand.videos.watch(ended).done, ConnectionError);
  await assert.rejects(byHand.navigation.state(), (e) => e instanceof ConnectionError && /connect\({ hubs: \['navigation'\] }\)/.test(e.message));
  await byHand.connect({ hubs: ['videos', 'navigation'] });
  await assertEnd(byHand);
  assert.ok((await byHand.navigation.state()).kinds.length > 0);
  assert.deepEqual(['videos', 'images', 'navigation'].map((hub) => byHand.connectionState(hub)), ['connected', 'disconnected', 'connected']);
});

test('reconnectAttempts, and afterLastAttempt', async () => {
  proxy.refuse = noHubs;
  for (const [reconnectAttempts, negotiations] of [[undefined, 4], [0, 1], [1, 2], [5, 6]]) {
    proxy.requests = [];
    await assert.rejects(client({ signalR: { reconnectInterval: 1, reconnectAttempts } }).videos.watch(ended).done, ConnectionError);
    assert.equal(proxy.count(/negotiate/), negotiations);
  }
  await assertEnd(client({ signalR: { reconnectInterval: 1, afterLastAttempt: 'poll' } }));
  const endless = client({ signalR: { reconnectInterval: 1, maxReconnectInterval: 1, reconnectAttempts: Infinity } });
  const lost = losses(endless);
  const end = endless.videos.watch(ended).done;
  await until('it does not give up', () => lost.length > 10);
  proxy.refuse = undefined;
  assert.equal((await end).eventType, 'VideoGenerationCompleted');
});

test('reconnectInterval, reconnectBackoff and maxReconnectInterval', async () => {
  proxy.refuse = noHubs;
  const delays = async (signalR, n) => {
    const c = client({ signalR });
    const lost = losses(c);
    const watch = c.videos.watch(ended);
    await until(`${n} losses`, () => lost.length >= n);
    watch.close();
    return lost.slice(0, n).map(({ retryIn }) => retryIn);
  };
  const within = (all, ceilings) => assert.ok(all.every((ms, i) => ms <= ceilings[i] && ms > ceilings[i] * 0.7499), `${all}`);
  within(await delays({}, 1), [5000]);
  within(await delays({ reconnectInterval: 100 }, 3), [100, 200, 400]);
  within(await delays({ reconnectInterval: 100, maxReconnectInterval: 150 }, 3), [100, 150, 150]);
  assert.deepEqual(await delays({ reconnectInterval: 50, reconnectBackoff: 'constant' }, 3), [50, 50, 50]);
});

test('transports', async () => {
  const ways = { UPGRADE: /^UPGRADE /, stream: /^GET .*\/hubs\/video-generation\?(?!.*&_=)/, poll: /^GET .*&_=/ };
  for (const [transports, way] of [[undefined, 'UPGRADE'], [['WEBsockets'], 'UPGRADE'], [['serverSentEvents'], 'stream'], [['LongPolling'], 'poll'], [['longPolling', 'webSockets'], 'UPGRADE']]) {
    proxy.requests = [];
    const c = client({ signalR: { transports } });
    await assertEnd(c);
    await c.disconnect(); // its poll, too
    const taken = Object.keys(ways).filter((name) => proxy.count(ways[name]) > 0);
    assert.deepEqual(taken, [way], `${transports}\n${proxy.requests.join('\n')}`);
  }
  proxy.refuseUpgrade = true;
  await assertEnd(client());
  assert.ok(proxy.count(ways.stream) > 0, 'server-sent events are the second default');
  await assert.rejects(client({ signalR: { transports: ['webSockets'], reconnectAttempts: 0 } }).videos.watch(ended).done, ConnectionError);
});

test('serverTimeout: the server is told, and its silence is noticed', async () => {
  await assertEnd(client());
  assert.ok(proxy.count(/negotiate\?serverTimeout=30000&/) > 0);
  const c = client({ signalR: { serverTimeout: 1500, reconnectInterval: 1, reconnectAttempts: Infinity } });
  const lost = losses(c);
  await c.connect();
  proxy.frozen = true;
  await until('its silence is noticed', () => lost.length > 0);
  assert.match(lost[0].error.message, /Server timeout elapsed/);
  proxy.frozen = false;
  await until('it is back', () => c.connectionState() === 'connected');
});

test('serverTimeout: the server pings often enough for it', async () => {
  // Of itself it would ping after 15 s.
  await until('two pings come', () => idle.proxy.frames >= idle.began + 2, 60_000);
  assert.deepEqual(idle.lost, []);
});
