// The SDK against the real server.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import typescript from 'typescript';
import { Conduit, long, short, until } from '../../../e2e/conduit.mjs';
import { AuthenticationError, BadRequestError, ConduitCoreClient, ConnectionError, NotFoundError, PermissionError, RateLimitError, TaskCancelledError, TaskFailedError, TimeoutError } from '@knn_labs/conduit-core-client';
import { Proxy } from './proxy.mjs';
import { blocks } from './readme.mjs';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

let conduit;
const clients = [];
before(async () => (conduit = await Conduit.start()));
after(async () => {
  await Promise.all(clients.map((c) => c.disconnect()));
  await conduit?.stop();
});

function client({ signalR = {}, ...options } = {}) {
  const made = new ConduitCoreClient({
    apiKey: conduit.key, baseURL: conduit.url, logger: quiet, ...options,
    signalR: { reconnectInterval: 200, reconnectAttempts: 20, maxReconnectInterval: 500, ...signalR },
  });
  clients.push(made);
  return made;
}

/** collect reads a watch to its end. */
async function collect(watch) {
  const events = [];
  for await (const event of watch) events.push(event);
  return events;
}

/** assertLife checks what is promised of the events of one watch. */
function assertLife(events, kind = 'Video', end = 'Completed') {
  let last = 0;
  for (const [i, event] of events.entries()) {
    assert.ok(event.sequence > last, `sequence ${event.sequence} after ${last}`);
    last = event.sequence;
    assert.ok(event.timestamp instanceof Date && !Number.isNaN(event.timestamp.getTime()));
    assert.match(event.eventType, new RegExp(`^${kind}Generation(Started|Progress|Completed|Failed|Cancelled)$`));
    assert.equal(/(Started|Progress)$/.test(event.eventType), i < events.length - 1, 'the end is the last, and the only one');
  }
  assert.equal(events.at(-1)?.eventType, `${kind}Generation${end}`);
}

describe('a video', () => {
  test('generate resolves with it', async () => {
    const seen = [];
    let task;
    const video = await client().videos.generate({ ...short }, { onProgress: (e) => seen.push(e.progress), onTask: (t) => (task = t) });
    assert.equal(video.taskId, task.task_id);
    assert.equal(video.metadata.width, 320);
    assert.equal(video.duration, 2);
    assert.equal(video.seed, 7);
    assert.match(video.requestId, /^sdk_/);
    assert.ok(seen.length >= 1 && seen.every((n, i) => i === 0 || n >= seen[i - 1]), seen.join(' '));
    assert.equal((await fetch(video.url)).status, 200);
  });

  for (const [what, options] of [
    ['WebSockets', { transports: ['WEBSOCKETS'] }],
    ['server-sent events', { transports: ['serverSentEvents'] }],
    ['long polling', { transports: ['longPolling'] }],
    ['no hub: the event stream', { enabled: false }],
    ['defaults', undefined],
  ]) {
    test(`watch over ${what}`, async () => {
      const c = options ? client({ signalR: options }) : new ConduitCoreClient({ apiKey: conduit.key, baseURL: conduit.url, logger: quiet });
      const states = [];
      c.onConnectionChange(({ state }) => states.push(state));
      const { task_id } = await c.videos.generateAsync({ ...short, prompt: what });
      assertLife(await collect(c.videos.watch(task_id)));
      // Once more, after the end.
      assertLife(await collect(c.videos.watch(task_id)));
      if (options?.enabled === false) assert.deepEqual(states, []);
      else await until('the connection closes with the last watch', () => c.connectionState() === 'disconnected');
    });
  }

  test('without event streams, by polling', async () => {
    const fetch = (url, init) => (String(url).endsWith('/events') ? Promise.resolve(new Response('<html>', { headers: { 'content-type': 'text/html' } })) : globalThis.fetch(url, init));
    const c = client({ fetch, pollInterval: 100, signalR: { enabled: false } });
    const { task_id } = await c.videos.generateAsync({ ...short, duration: 4 });
    const polled = await collect(c.videos.watch(task_id));
    assertLife(polled);
    const [pushed] = (await collect(client().videos.watch(task_id))).slice(-1);
    assert.deepEqual(Object.keys(polled.at(-1)).sort(), Object.keys(pushed).sort());
    assert.deepEqual(polled.at(-1).metadata, pushed.metadata);
    assert.equal(polled.at(-1).sequence, pushed.sequence);
  });

  test('get, list, cancel, retry', async () => {
    const c = client();
    const made = await c.videos.generateAsync({ ...long });
    assert.equal((await c.videos.get(made.task_id)).prompt, long.prompt);
    const ends = collect(c.videos.watch(made.task_id));
    assert.equal((await c.videos.cancel(made.task_id)).status, 'cancelled');
    assertLife(await ends, 'Video', 'Cancelled');
    const again = await c.videos.retry(made.task_id);
    assert.equal(again.retry_of, made.task_id);
    await c.videos.cancel(again.task_id);
    const ids = [];
    for await (const task of c.videos.list({ limit: 1, status: 'cancelled' })) ids.push(task.task_id);
    assert.deepEqual(ids.slice(0, 2), [again.task_id, made.task_id]);
    const completed = await c.videos.list({ status: ['completed'] }).page();
    assert.ok(completed.data.every((t) => t.status === 'completed'));
  });

  test('a cancelled one rejects, an aborted wait leaves or cancels it', async () => {
    const c = client();
    let id;
    const cancelled = c.videos.generate({ ...long }, { onTask: (t) => (id = t.task_id), onProgress: () => void c.videos.cancel(id).catch(() => {}) });
    await assert.rejects(cancelled, (e) => e instanceof TaskCancelledError && e instanceof TaskFailedError && e.errorCode === 'cancelled' && /^sdk_/.test(e.requestId));

    const abort = new AbortController();
    const reason = new Error('enough');
    await assert.rejects(c.videos.generate({ ...long }, { signal: abort.signal, cancelOnAbort: true, onTask: (t) => (id = t.task_id), onProgress: () => abort.abort(reason) }), reason);
    assert.equal((await c.videos.get(id)).status, 'cancelled');
    await assert.rejects(c.videos.generate({ ...long }, { timeout: 300, cancelOnAbort: true }), TimeoutError);
    await assert.rejects(c.videos.generate({ ...long }, { signal: AbortSignal.abort(reason) }), reason);
  });

  test('one that times out fails with its code', async () => {
    await assert.rejects(client().videos.generate({ ...long, duration: 60, timeout_seconds: 1 }), (e) => e instanceof TaskFailedError && e.errorCode === 'timed_out');
  });

  test('an idempotency key makes one task', async () => {
    const c = client();
    const [a, b] = await Promise.all([1, 2].map(() => c.videos.generateAsync({ ...short }, { idempotencyKey: 'the-same' })));
    assert.equal(a.task_id, b.task_id);
    await assert.rejects(c.videos.generateAsync({ ...short, seed: 8 }, { idempotencyKey: 'the-same' }), (e) => e instanceof BadRequestError && e.code === 'idempotency_key_reused');
  });

  test('afterSequence', async () => {
    const c = client();
    const { taskId } = await c.videos.generate({ ...short });
    const { sequence } = await c.videos.get(taskId);
    assert.deepEqual(await collect(c.videos.watch(taskId, { afterSequence: sequence })), []);
    assert.deepEqual(await collect(c.videos.watch(taskId, { afterSequence: sequence + 100 })), []);
    assert.deepEqual((await collect(c.videos.watch(taskId, { afterSequence: sequence - 1 }))).map((e) => e.sequence), [sequence]);
    const seen = await collect(client({ signalR: { enabled: false } }).videos.watch(taskId, { afterSequence: 1 }));
    assert.equal(seen.at(-1).sequence, sequence);
  });

  test('history: every event, while it runs and after', async () => {
    const c = client();
    const { task_id } = await c.videos.generateAsync({ ...long });
    const watch = c.videos.watch(task_id);
    for await (const event of watch) if (event.sequence > 3) break;
    const now = await c.videos.history(task_id);
    assert.ok(now.length > 3 && !/Cancelled/.test(now.at(-1).eventType));
    const rest = await c.videos.history(task_id, { afterSequence: 2 });
    await c.videos.cancel(task_id);
    const all = await c.videos.history(task_id);
    assertLife(all, 'Video', 'Cancelled');
    assert.deepEqual(all.map((e) => e.sequence), all.map((_, i) => i + 1), 'none is missing');
    assert.deepEqual(now, all.slice(0, now.length));
    assert.deepEqual(rest, all.slice(2, 2 + rest.length));
    assert.deepEqual(await c.videos.history(task_id, { afterSequence: all.length }), []);
    await assert.rejects(c.images.history(task_id), NotFoundError);
    await assert.rejects(c.videos.history(task_id, { afterSequence: -1 }), { option: 'afterSequence' });
    await assert.rejects(c.videos.history(task_id, { signal: AbortSignal.abort(new Error('enough')) }), /enough/);
  });
});

test('abnormal connections are for admins', async () => {
  const { key } = await conduit.newKey('--name', 'watchman', '--scopes', 'admin');
  const report = await client({ apiKey: key }).admin.abnormal();
  assert.ok(report.window_seconds > 0 && report.patterns.some((p) => p.pattern === 'failed_negotiations' && p.limit > 0) && Array.isArray(report.data));
  await assert.rejects(client().admin.abnormal(), PermissionError);
});

test('images', async () => {
  const c = client();
  const made = await c.images.generate({ prompt: 'a lighthouse', size: '256x256', n: 2 });
  assert.equal(made.images.length, 2);
  assert.equal(made.url, made.images[0].url);
  assert.equal((await fetch(made.url)).status, 200);
  assertLife(await collect(c.images.watch(made.taskId)), 'Image');
  assertLife(await collect(client({ signalR: { enabled: false } }).images.watch(made.taskId)), 'Image');
  assert.equal((await c.images.get(made.taskId)).kind, 'image');
  await assert.rejects(c.videos.watch(made.taskId).done, NotFoundError);
  await assert.rejects(client({ signalR: { enabled: false } }).videos.watch(made.taskId).done, NotFoundError);
});

test('models and health', async () => {
  const c = client();
  assert.ok((await c.models.list()).some((m) => m.id === 'local-video'));
  assert.equal((await c.models.get('local-video')).conduit.kind, 'video');
  const health = await c.health.signalR();
  assert.equal(health.status, 'Healthy');
  assert.ok('/hubs/video-generation' in health.hubs);
});

test('navigation', async () => {
  const c = client();
  const first = await c.navigation.state();
  assert.ok(first.models.some((m) => m.modelId === 'local-video' && m.available));
  const { task_id } = await c.videos.generateAsync({ ...short, prompt: 'navigated' });
  const models = [];
  let last = 0;
  for await (const e of c.navigation.watch({ models: ['local-video'], onModel: (m) => models.push(m) })) {
    if (e.eventType !== 'NavigationStateUpdated') continue;
    assert.ok(e.revision > last);
    last = e.revision;
    const own = e.recentTasks.find((t) => t.taskId === task_id);
    if (own?.status === 'completed') break;
  }
  assert.ok(models.length >= 1 && models[0].available);
});

describe('connections', () => {
  test('autoConnect: false wants connect first, which keeps the connection', async () => {
    const c = client({ signalR: { autoConnect: false } });
    const { task_id } = await c.videos.generateAsync({ ...short });
    await assert.rejects(c.videos.watch(task_id).done, (e) => e instanceof ConnectionError && /autoConnect is false.*connect\(/.test(e.message));
    await c.connect();
    assert.equal(c.connectionState(), 'connected');
    assertLife(await collect(c.videos.watch(task_id)));
    await c.connect();
    assert.equal(c.connectionState(), 'connected');
    const open = c.videos.watch((await c.videos.generateAsync({ ...long })).task_id);
    await c.disconnect();
    await assert.rejects(open.done, ConnectionError);
    assert.equal(c.connectionState(), 'disconnected');
    await c.videos.cancel(open.taskId);
  });

  test('1,000 watches of 250 tasks on one connection; 10,000 more leave no memory behind', async () => {
    const c = client();
    const made = [];
    while (made.length < 250) {
      const some = Array.from({ length: 25 }, (_, i) => c.images.generateAsync({ prompt: 'a tile', size: '16x16', seed: made.length + i }));
      made.push(...(await Promise.all(some)));
    }
    let opened = 0;
    c.onConnectionChange(({ state }) => (opened += state === 'connected' ? 1 : 0));
    const watches = Array.from({ length: 1000 }, (_, i) => c.images.watch(made[i % made.length].task_id));
    for (const events of await Promise.all(watches.map(collect))) assertLife(events, 'Image');
    assert.equal(opened, 1);

    await c.connect({ hubs: ['images'] }); // kept: a connection would be a call of its own for every round
    const rounds = async (count) => {
      for (let i = 0; i < count; i++) {
        const ends = await Promise.all(made.map(({ task_id }) => c.images.watch(task_id).done));
        assert.ok(ends.every((end) => end.eventType === 'ImageGenerationCompleted'));
      }
    };
    const heap = () => {
      globalThis.gc?.();
      return process.memoryUsage().heapUsed;
    };
    await rounds(8);
    const before = heap();
    await rounds(40);
    const grown = heap() - before;
    if (globalThis.gc) assert.ok(grown < 2_000_000, `${grown} bytes more after 10,000 watches`);
  });

  test('a server that is killed in the middle of a task, and comes back', async () => {
    const own = await Conduit.start();
    const watchers = [{}, { transports: ['serverSentEvents'] }, { transports: ['longPolling'] }, { enabled: false }].map((signalR) => {
      const c = new ConduitCoreClient({ apiKey: own.key, baseURL: own.url, logger: quiet, signalR: { reconnectInterval: 200, reconnectAttempts: 100, maxReconnectInterval: 300, ...signalR } });
      const watcher = { c, signalR, states: [], events: [] };
      c.onConnectionChange(({ state }) => watcher.states.at(-1) !== state && watcher.states.push(state));
      return watcher;
    });
    try {
      const { task_id } = await watchers[0].c.videos.generateAsync({ ...long, size: '640x360', duration: 8 });
      const ends = watchers.map(({ c, events }) => c.videos.watch(task_id, { onEvent: (e) => events.push(e) }).done);
      await until('all see it move', () => watchers.every(({ events }) => events.at(-1)?.progress > 3));
      await own.kill();
      await own.run();
      await Promise.all(ends);
      for (const { signalR, states, events } of watchers) {
        assertLife(events);
        if (signalR.enabled === false) assert.deepEqual(states, []);
        else assert.ok(states.join(' ').startsWith('connecting connected reconnecting connected'), states.join(' '));
      }
    } finally {
      await Promise.all(watchers.map(({ c }) => c.disconnect()));
      await own.stop();
    }
  });
});

describe('through a proxy', () => {
  let proxy;
  before(async () => (proxy = await Proxy.start(conduit.port)));
  after(() => proxy?.stop());
  const through = (signalR = {}) => client({ baseURL: proxy.url, signalR });

  test('that cuts again and again, over every transport', async () => {
    const { task_id } = await client().videos.generateAsync({ ...long });
    const cutting = [{}, { transports: ['serverSentEvents'] }, { transports: ['longPolling'] }, { enabled: false }].map(async (signalR) => {
      const own = await Proxy.start(conduit.port);
      const c = client({ baseURL: own.url, signalR });
      let cuts = 0;
      const events = [];
      const watch = c.videos.watch(task_id, {
        onEvent: (e) => {
          events.push(e);
          if (events.length % 2 === 0 && cuts < 4) (cuts++, own.cut());
        },
      });
      await until('it was cut again and again', () => cuts === 4 && events.length > 9);
      return { own, watch, events };
    });
    const all = await Promise.all(cutting);
    await client().videos.cancel(task_id);
    for (const { own, watch, events } of all) {
      await watch.done;
      assertLife(events, 'Video', 'Cancelled');
      await own.stop();
    }
  });

  test('that delays', async () => {
    proxy.delay = 150;
    try {
      assertLife(await collect(through().videos.watch((await through().videos.generateAsync({ ...short })).task_id)));
    } finally {
      proxy.delay = 0;
    }
  });

  test('that refuses: an error, or by polling, as chosen', async () => {
    const { task_id } = await client().videos.generateAsync({ ...short });
    const refused = { reconnectAttempts: 2, reconnectInterval: 10 };
    proxy.refuse = (request) => request.url.startsWith('/hubs/');
    try {
      const states = [];
      const c = through(refused);
      c.onConnectionChange(({ state, error }) => states.push([state, error?.constructor.name]));
      await assert.rejects(c.videos.watch(task_id).done, (e) => e instanceof ConnectionError && /tried again 2 times/.test(e.message));
      assert.deepEqual(states.at(-1)[0], 'disconnected');
      await assert.rejects(through(refused).connect(), ConnectionError);
      assertLife(await collect(through({ ...refused, afterLastAttempt: 'poll' }).videos.watch(task_id)));
    } finally {
      proxy.refuse = undefined;
    }
  });

  test('that knows no WebSockets', async () => {
    proxy.refuseUpgrade = true;
    try {
      const c = through();
      assertLife(await collect(c.videos.watch((await c.videos.generateAsync({ ...short })).task_id)));
    } finally {
      proxy.refuseUpgrade = false;
    }
  });

  test('that answers an upgrade with nothing at all', async () => {
    proxy.hangUpgrade = true;
    try {
      const c = client({ baseURL: proxy.url, timeout: 2000 });
      const lost = [];
      c.onConnectionChange(({ error }) => error && lost.push(error.message));
      assertLife(await collect(c.videos.watch((await c.videos.generateAsync({ ...short })).task_id)));
      assert.match(lost[0], /did not open within 2000 ms/);
      assert.ok(proxy.count(/^GET .*&access_token=/) > 0, 'by server-sent events');
    } finally {
      proxy.hangUpgrade = false;
    }
  });

  test('that does not know a long poll any more', async () => {
    const c = through({ transports: ['longPolling'] });
    const states = [];
    c.onConnectionChange(({ state }) => states.at(-1) !== state && states.push(state));
    const { task_id } = await c.videos.generateAsync({ ...long });
    const events = [];
    const watch = c.videos.watch(task_id, { onEvent: (e) => events.push(e) });
    await until('it is connected and told', () => events.length > 0);
    let refused = 0;
    proxy.refuse = (request) => request.method === 'GET' && /&_=/.test(request.url) && refused++ === 0 && 404;
    try {
      await until('it is connected again', () => states.join(' ') === 'connecting connected reconnecting connected');
    } finally {
      proxy.refuse = undefined;
    }
    await c.videos.cancel(task_id);
    await watch.done;
    assertLife(events, 'Video', 'Cancelled');
  });

  test('that answers with pages of its own', async () => {
    const { task_id } = await client().videos.generateAsync({ ...short });
    for (const status of [200, 502]) {
      proxy.refuse = () => status;
      try {
        for (const signalR of [{ reconnectAttempts: 1, reconnectInterval: 10 }, { enabled: false, reconnectAttempts: 1, reconnectInterval: 10 }]) {
          const c = client({ baseURL: proxy.url, maxRetries: 0, signalR });
          await assert.rejects(c.videos.get(task_id), (e) => e.message.includes(`${status}`) && e.message.includes('text/html') && !e.message.includes('<html') && !!e.requestId);
          await assert.rejects(c.videos.watch(task_id).done, (e) => !(e instanceof RateLimitError) && !!e.requestId);
        }
      } finally {
        proxy.refuse = undefined;
      }
    }
  });

  test('that loses the answer to a POST: one task', async () => {
    const list = async () => (await client().videos.list({ limit: 100 }).page()).data.filter((t) => t.prompt === 'bought once').length;
    proxy.loseAnswers = 1;
    await through().videos.generateAsync({ ...short, prompt: 'bought once' });
    assert.equal(proxy.loseAnswers, 0);
    assert.equal(await list(), 1);
  });
});

describe('the README', () => {
  // Below the package, so that its name leads to it.
  const folder = mkdtempSync(join(import.meta.dirname, '../dist/readme-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const { heading, code, language } of blocks().filter((b) => b.language === 'ts')) {
    test(heading, async () => {
      const { outputText } = typescript.transpileModule(code.replaceAll('http://127.0.0.1:5000', conduit.url), {
        compilerOptions: { module: typescript.ModuleKind.ESNext, target: typescript.ScriptTarget.ES2022 },
      });
      const file = join(folder, `${heading.replaceAll(/\W+/g, '-')}.mjs`);
      writeFileSync(file, outputText);
      const out = await new Promise((done, failed) =>
        execFile(process.execPath, [file], { env: { ...process.env, CONDUIT_API_KEY: conduit.key }, timeout: 120_000 }, (error, stdout, stderr) =>
          error ? failed(new Error(`${error.message}\n${stdout}\n${stderr}`)) : done(stdout)),
      );
      assert.match(out, heading === 'Navigation' ? /video \d+ running/ : /http:\/\/.*\/v1\/media\//, `${language}: ${out}`);
    });
  }
});

// Last: what a revoked key leaves running keeps the renderers busy.
describe('who asks', () => {
  test('a wrong key', async () => {
    for (const signalR of [{}, { enabled: false }]) {
      const c = client({ apiKey: `condt_${'x'.repeat(43)}`, signalR });
      await assert.rejects(c.videos.generate({ ...short }), (e) => e instanceof AuthenticationError && e.code === 'invalid_api_key' && /^sdk_/.test(e.requestId));
      await assert.rejects(c.videos.watch('task_' + '0'.repeat(32)).done, (e) => e instanceof AuthenticationError && /^sdk_/.test(e.requestId));
    }
  });

  test('a key without the scope', async () => {
    const { key } = await conduit.newKey('--name', 'sdk-images', '--scopes', 'image');
    const c = client({ apiKey: key });
    await assert.rejects(c.videos.generate({ ...short }), PermissionError);
    await assert.rejects(c.videos.watch('task_' + '0'.repeat(32)).done, PermissionError);
  });

  test('an unknown task', async () => {
    for (const signalR of [{}, { enabled: false }]) {
      const c = client({ signalR });
      const watch = c.videos.watch('task_' + '0'.repeat(32));
      await assert.rejects(collect(watch), NotFoundError);
      await assert.rejects(watch.done, NotFoundError);
      await assert.rejects(c.videos.get('task_' + '0'.repeat(32)), (e) => e instanceof NotFoundError && e.code === 'task_not_found');
      // It spoils nothing for a task beside it.
      const { task_id } = await c.videos.generateAsync({ ...short });
      const [bad, good] = [c.videos.watch('task_' + '1'.repeat(32)), c.videos.watch(task_id)];
      await assert.rejects(bad.done, NotFoundError);
      assertLife(await collect(good));
    }
  });

  for (const enabled of [true, false]) {
    test(`a revoked key ends its watches, ${enabled ? 'hub' : 'stream'}`, async () => {
      const name = `sdk-gone-${enabled}`;
      const { key } = await conduit.newKey('--name', name, '--scopes', 'video');
      const c = client({ apiKey: key, signalR: { enabled } });
      let began;
      const first = new Promise((resolve) => (began = resolve));
      // Nobody can cancel it afterwards, so it is not too long.
      const { task_id } = await c.videos.generateAsync({ ...long, duration: 5 });
      const watch = c.videos.watch(task_id, { onEvent: () => began() });
      await first;
      assert.equal((await conduit.cli('keys', 'revoke', name)).code, 0);
      await assert.rejects(watch.done, AuthenticationError);
    });
  }

  test('a key that expires ends its watches', async () => {
    const soon = new Date(Date.now() + 3000).toISOString().replace(/\.\d+/, '');
    const { key } = await conduit.newKey('--name', 'sdk-brief', '--scopes', 'video', '--expires', soon);
    const c = client({ apiKey: key });
    const { task_id } = await c.videos.generateAsync({ ...long });
    await assert.rejects(c.videos.watch(task_id).done, AuthenticationError);
    await assert.rejects(c.videos.get(task_id), (e) => e instanceof AuthenticationError && e.code === 'expired_api_key');
  });

  test('a refused field', async () => {
    await assert.rejects(client().videos.generate({ ...short, size: 'huge' }), (e) => e instanceof BadRequestError && e.param === 'size' && e.status === 400);
    await assert.rejects(client().videos.retry('task_' + '0'.repeat(32)), NotFoundError);
  });
});
