// Watches on a hub that does what a test says.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { AuthenticationError, ConduitCoreClient, ConnectionError, NotFoundError, TimeoutError } from '@knn_labs/conduit-core-client';
import { event, FakeHub, quiet, until } from './fakehub.mjs';

let hub;
const made = [];
beforeEach(async () => (hub = await FakeHub.start()));
afterEach(async () => {
  await Promise.all(made.splice(0).map((c) => c.disconnect()));
  await hub.stop();
});

function client({ signalR = {}, ...options } = {}) {
  const c = new ConduitCoreClient({
    apiKey: 'condt_secret', baseURL: hub.url, logger: quiet, ...options,
    signalR: { reconnectInterval: 5, transports: ['webSockets'], ...signalR },
  });
  made.push(c);
  return c;
}

/** record is a watch and what came. */
function record(c, taskId, options = {}) {
  const events = [];
  const watch = c.videos.watch(taskId, { ...options, onEvent: (e) => events.push(`${e.eventType.slice(15)} ${e.sequence}`) });
  return Object.assign(watch, { events });
}

const connected = (n = 1) => until(`${n} connections were opened`, () => hub.opened >= n && hub.connections.length === 1);
const subscribed = (n = 1) => until(`${n} subscriptions`, () => hub.named('SubscribeToTasks').length >= n);

test('what is watched at the same moment is one call, of at most 200 tasks', async () => {
  const c = client();
  const watches = Array.from({ length: 450 }, (_, i) => c.videos.watch(`task_${i}`));
  await subscribed(3);
  const asked = hub.named('SubscribeToTasks').map(([tasks]) => tasks);
  assert.deepEqual(asked.map((tasks) => tasks.length), [200, 200, 50]);
  assert.deepEqual(asked[0][0], { taskId: 'task_0', afterSequence: 0 });
  for (const watch of watches) watch.close();
  await until('the connection is gone', () => hub.connections.length === 0);
  assert.equal(hub.opened, 1);
});

test('what is left at the same moment is one call too', async () => {
  const c = client();
  const watches = Array.from({ length: 300 }, (_, i) => c.videos.watch(`task_${i}`));
  await subscribed(2);
  const kept = c.videos.watch('task_kept');
  for (const watch of watches) watch.close();
  await until('all are left', () => hub.named('UnsubscribeFromTasks').length === 2);
  assert.deepEqual(hub.named('UnsubscribeFromTasks').map(([ids]) => ids.length), [200, 100]);
  kept.close();
});

test('a watch that is closed at once asks for nothing', async () => {
  const c = client();
  const kept = c.videos.watch('task_kept');
  await subscribed();
  c.videos.watch('task_a').close();
  const b = c.videos.watch('task_b');
  await subscribed(2);
  assert.deepEqual(hub.named('SubscribeToTasks')[1], [[{ taskId: 'task_b', afterSequence: 0 }]]);
  assert.deepEqual(hub.named('UnsubscribeFromTasks'), []);
  kept.close();
  b.close();
});

test('an older server is asked task by task', async () => {
  hub.methods = { SubscribeToTaskFrom: () => null, UnsubscribeFromTask: () => null };
  const c = client();
  const [a, b] = [record(c, 'task_a'), record(c, 'task_b')];
  await until('both are asked for', () => hub.named('SubscribeToTaskFrom').length === 2);
  assert.deepEqual(hub.named('SubscribeToTaskFrom'), [['task_a', 0], ['task_b', 0]]);
  hub.all(event('Completed', 'task_a', 3, { videoUrl: 'x', duration: 1, metadata: {} }));
  assert.equal((await a.done).sequence, 3);
  await until('the ended one is left', () => hub.named('UnsubscribeFromTask').length === 1);
  b.close();
  assert.equal(hub.named('SubscribeToTasks').length, 1, 'what does not exist is tried once');
});

test('after a loss every watch goes on where it was, and nothing comes twice', async () => {
  const c = client();
  const states = [];
  c.onConnectionChange(({ state, hub: name }) => name === 'video-generation' && states.at(-1) !== state && states.push(state));
  const [a, b] = [record(c, 'task_a'), record(c, 'task_b')];
  await subscribed();
  hub.all(event('Progress', 'task_a', 1, { progress: 0 }));
  hub.all(event('Started', 'task_a', 2));
  hub.all(event('Progress', 'task_a', 3, { progress: 1 }));
  await until('they came', () => a.events.length === 3);
  hub.connections[0].drop();
  await connected(2);
  await subscribed(2);
  assert.deepEqual(hub.named('SubscribeToTasks')[1], [[{ taskId: 'task_a', afterSequence: 3 }, { taskId: 'task_b', afterSequence: 0 }]]);
  for (const sequence of [2, 3, 4]) hub.all(event('Progress', 'task_a', sequence, { progress: sequence }));
  for (const twice of [1, 2]) hub.all(event('Completed', 'task_a', 5, { videoUrl: `${twice}`, duration: 1, metadata: {} }));
  hub.all(event('Cancelled', 'task_b', 9));
  assert.equal((await a.done).videoUrl, '1');
  assert.equal((await b.done).eventType, 'VideoGenerationCancelled');
  assert.deepEqual(a.events, ['Progress 1', 'Started 2', 'Progress 3', 'Progress 4', 'Completed 5']);
  await until('the connection closes', () => c.connectionState() === 'disconnected');
  assert.deepEqual(states, ['connecting', 'connected', 'reconnecting', 'connected', 'disconnected']);
});

test('a second watch of a task is told at once where it stands, on the same subscription', async () => {
  const c = client();
  const a = record(c, 'task_a');
  await subscribed();
  hub.all(event('Progress', 'task_a', 4, { progress: 7 }));
  hub.all(event('Started', 'task_a', 5, { attempt: 2 }));
  await until('they came', () => a.events.length === 2);
  const b = record(c, 'video_a'); // its other name
  await until('it is told', () => b.events.length === 2);
  assert.deepEqual(b.events, a.events);
  assert.equal(hub.named('SubscribeToTasks').length, 1);
  b.close();
  hub.all(event('Cancelled', 'task_a', 6));
  await a.done;
  assert.equal(b.events.length, 2);
});

test('what comes from the future is passed over', async () => {
  const c = client();
  const a = record(c, 'task_a');
  await subscribed();
  for (const odd of [null, 7, 'text', [], {}, { taskId: 'task_a' }, event('Progress', 'task_a', '1'), event('Progress', 'task_a', 1, { timestamp: 'soon' }), event('Progress', 'task_a', 1.5)]) {
    hub.connections[0].event('Progress', odd);
  }
  hub.connections[0].event('Progress', { ...event('Progress', 'task_a', 1), eventType: 'VideoGenerationDreamt' });
  hub.connections[0].event('Dreamt', event('Dreamt', 'task_a', 1));
  hub.connections[0].send({ type: 99, what: 'is this' });
  hub.all(event('Progress', 'task_unknown', 1));
  hub.all(event('Progress', 'task_a', 2, { progress: 3, dream: { deep: true } }));
  hub.all(event('Completed', 'task_a', 3, { videoUrl: 'x', duration: 1, metadata: {}, newField: 1 }));
  assert.equal((await a.done).newField, 1);
  assert.deepEqual(a.events, ['Progress 2', 'Completed 3']);
});

test('of events that wait to be read the newest Progress stays, and the end comes once', async () => {
  const c = client();
  const watch = c.videos.watch('task_a');
  await subscribed();
  hub.all(event('Started', 'task_a', 1));
  for (let i = 2; i < 100; i++) hub.all(event('Progress', 'task_a', i, { progress: i }));
  hub.all(event('Failed', 'task_a', 100, { error: 'no', isRetryable: false }));
  await watch.done;
  const read = [];
  for await (const e of watch) read.push(e.sequence);
  assert.deepEqual(read, [1, 99, 100]);
  for await (const e of watch) assert.fail(`${e.sequence} came again`);
});

test('leaving the loop, close, the signal and the timeout end a watch', async () => {
  const c = client();
  const reason = new Error('enough');
  const abort = new AbortController();
  const kept = c.videos.watch('task_kept');
  const left = c.videos.watch('task_left');
  const aborted = c.videos.watch('task_aborted', { signal: abort.signal });
  const reading = (async () => {
    for await (const e of aborted) assert.fail(`${e.sequence}`);
  })();
  await subscribed();
  hub.all(event('Progress', 'task_left', 1, { progress: 1 }));
  for await (const e of left) {
    assert.equal(e.sequence, 1);
    break;
  }
  assert.equal(await left.done, undefined);
  abort.abort(reason);
  await assert.rejects(reading, reason);
  await assert.rejects(aborted.done, reason);
  await assert.rejects(c.videos.watch('task_late', { timeout: 20 }).done, TimeoutError);
  await assert.rejects(c.videos.watch('task_never', { signal: AbortSignal.abort(reason) }).done, reason);
  kept.close();
  assert.equal(await kept.done, undefined);
});

test('a callback that fails takes nothing with it', async () => {
  const lines = [];
  const c = client({ logger: { ...quiet, error: (line) => lines.push(line) } });
  const watch = c.videos.watch('task_a', { onEvent: () => { throw new Error('mine'); }, onCancelled: () => { throw new Error('mine'); } });
  await subscribed();
  hub.all(event('Cancelled', 'task_a', 1));
  assert.equal((await watch.done).sequence, 1);
  assert.equal(lines.filter((line) => line.includes('mine')).length, 2);
});

test('an unknown task spoils nothing for the others', async () => {
  hub.subscribed = (_, taskId) => (taskId === 'task_bad' ? { taskId, error: 'There is no such task.' } : { taskId });
  const c = client();
  const [bad, good] = [c.videos.watch('task_bad'), c.videos.watch('task_good')];
  await assert.rejects(bad.done, (e) => e instanceof NotFoundError && e.code === 'task_not_found' && /^sdk_/.test(e.requestId));
  hub.all(event('Cancelled', 'task_good', 1));
  await good.done;
});

test('a subscription that fails for a while is tried again, and not for ever', async () => {
  let failures = 2;
  hub.methods.SubscribeToTasks = (_, asked) => {
    if (failures-- > 0) throw new Error("Failed to invoke 'SubscribeToTasks' due to an error on the server. HubException: The database does not answer. Try again in a moment.");
    return asked.map(({ taskId }) => ({ taskId }));
  };
  const c = client();
  const a = c.videos.watch('task_a');
  await subscribed(3);
  hub.all(event('Cancelled', 'task_a', 1));
  await a.done;
  failures = Infinity;
  await assert.rejects(client({ signalR: { reconnectAttempts: 2 } }).videos.watch('task_a').done, (e) => e instanceof ConnectionError && /database does not answer/.test(e.message));
});

test('the attempts are counted, the first connect included, and begin anew after a success', async () => {
  let refuse = 3;
  hub.negotiate = (_, res) => refuse-- > 0 && !!res.writeHead(503).end();
  const c = client({ signalR: { reconnectAttempts: 3 } });
  const waits = [];
  c.onConnectionChange(({ state, retryIn, error }) => waits.push([state, retryIn > 0, error !== undefined]));
  const a = record(c, 'task_a');
  await subscribed();
  assert.deepEqual(waits, [['connecting', false, false], ...Array(3).fill(['connecting', true, true]), ['connected', false, false]]);
  hub.all(event('Progress', 'task_a', 1, { progress: 1 }));
  await until('it came', () => a.events.length === 1);
  refuse = 2; // the third attempt after the loss succeeds
  hub.connections[0].drop();
  await subscribed(2);
  refuse = 3;
  hub.all(event('Progress', 'task_a', 2, { progress: 1 }));
  await until('it came', () => a.events.length === 2);
  hub.connections[0].drop();
  await assert.rejects(a.done, (e) => e instanceof ConnectionError && /tried again 3 times/.test(e.message));
  assert.equal(hub.negotiations.length, 4 + 3 + 3);
  // And the next watch begins anew.
  refuse = 0;
  const b = c.videos.watch('task_b');
  await subscribed(3);
  hub.all(event('Cancelled', 'task_b', 1));
  await b.done;
});

test('a connection that never gets anywhere is given up, though each one opens', async () => {
  hub.methods.SubscribeToTasks = (connection) => connection.drop();
  await assert.rejects(client({ signalR: { reconnectAttempts: 2 } }).videos.watch('task_a').done, ConnectionError);
  assert.equal(hub.opened, 3);
});

test('reconnectAttempts: 0 tries once', async () => {
  hub.negotiate = (_, res) => !!res.writeHead(503).end();
  await assert.rejects(client({ signalR: { reconnectAttempts: 0 } }).videos.watch('task_a').done, ConnectionError);
  assert.equal(hub.negotiations.length, 1);
});

test('a key that no longer counts is not tried again', async () => {
  const c = client();
  const a = c.videos.watch('task_a');
  await subscribed();
  hub.connections[0].send({ type: 7, error: 'The API key is not valid any more.' });
  await assert.rejects(a.done, AuthenticationError);
  hub.negotiate = (_, res) => !!res.writeHead(401).end();
  await assert.rejects(c.videos.watch('task_a').done, AuthenticationError);
  assert.equal(hub.negotiations.length, 2);
});

test('a server without the hub is followed over REST', async () => {
  hub.negotiate = (_, res) => !!res.writeHead(404).end();
  hub.rest = (_, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.end(`: hello\n\nevent: Dreamt\ndata: {"eventType":"VideoGenerationDreamt"}\n\nid: 1\nevent: Cancelled\ndata: ${JSON.stringify(event('Cancelled', 'task_a', 1))}\n\n`);
  };
  assert.equal((await client().videos.watch('task_a').done).sequence, 1);
});

test('the server is told the server timeout; the key goes no further than it must', async () => {
  const lines = [];
  const put = (line) => lines.push(line);
  const c = client({ debug: true, logger: { debug: put, info: put, warn: put, error: put }, signalR: { logLevel: 'Trace', serverTimeout: 40_000 } });
  const a = c.videos.watch('task_a');
  await subscribed();
  assert.match(hub.negotiations[0], /^\/hubs\/video-generation\/negotiate\?serverTimeout=40000&/);
  hub.all(event('Cancelled', 'task_a', 1));
  await a.done;
  assert.ok(lines.some((line) => line.includes('negotiate')), 'requests are told');
  assert.ok(!lines.some((line) => /condt_secret|id=c1|"c1"/.test(line)), lines.find((line) => /condt_secret|id=c1|"c1"/.test(line)));
});

test('an aborted connect leaves nothing open', async () => {
  hub.negotiate = (_, res) => !!res.writeHead(503).end();
  const c = client({ signalR: { reconnectAttempts: Infinity } });
  const abort = new AbortController();
  const connecting = c.connect({ signal: abort.signal });
  await until('it tries', () => hub.negotiations.length > 2);
  abort.abort(new Error('enough'));
  await assert.rejects(connecting, /enough/);
  await until('it stops', () => c.connectionState() === 'disconnected');
});

test('watches in quick succession share a connection; 10,000 of them leave no memory behind', async () => {
  hub.subscribed = (connection, taskId) => {
    setImmediate(() => connection.event('Cancelled', event('Cancelled', taskId, 1)));
    return { taskId };
  };
  const c = client();
  const signal = new AbortController().signal;
  let n = 0;
  const round = async (count) => {
    await Promise.all(Array.from({ length: count }, () => c.videos.watch(`task_${n++}`, { signal }).done));
    hub.calls = [];
  };
  const heap = () => {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed;
  };
  for (let i = 0; i < 4; i++) await round(500);
  const before = heap();
  for (let i = 0; i < 20; i++) await round(500);
  const grown = heap() - before;
  assert.equal(hub.opened, 1);
  if (globalThis.gc) assert.ok(grown < 2_000_000, `${grown} bytes more after 10,000 watches`);
});

test('a task that ended at or below what is known is over', async () => {
  hub.rest = (_, res) => res.end(JSON.stringify({ sequence: 9, status: 'running' }));
  hub.subscribed = (_, taskId) => ({ taskId, ok: true, sequence: 5, ended: true }); // it ended meanwhile
  const watch = client().videos.watch('task_a', { afterSequence: 5 });
  assert.equal(await watch.done, undefined);
  for await (const e of watch) assert.fail(`${e.sequence}`);
});

test('a refusal with a code has the class of it, one with a delay is tried again after that', async () => {
  const codes = { task_not_found: NotFoundError, invalid_api_key: AuthenticationError };
  hub.subscribed = (_, taskId) => ({ taskId, ok: false, error: 'In words of tomorrow.', errorCode: taskId.slice(5) });
  const c = client();
  for (const [code, type] of Object.entries(codes)) {
    await assert.rejects(c.videos.watch(`task_${code}`).done, (e) => e instanceof type && e.code === code && e.message === 'In words of tomorrow.');
  }
  let refused = 0;
  hub.methods.SubscribeToTasks = (_, asked) => {
    if (refused++ === 0) throw new Error("Failed to invoke 'SubscribeToTasks' due to an error on the server. HubException: Too many calls on this connection: 20 a second are allowed. Try again in 0.2 seconds.");
    return asked.map(({ taskId }) => ({ taskId, ok: true }));
  };
  const began = Date.now();
  const a = c.videos.watch('task_a');
  await until('it is asked again', () => refused === 2);
  assert.ok(Date.now() - began >= 195);
  hub.all(event('Cancelled', 'task_a', 1));
  await a.done;
});

test('the navigation state, live', async () => {
  const state = (revision, more) => ({ eventType: 'NavigationStateUpdated', revision, kinds: [], models: [], recentTasks: [{ taskId: 'task_a', prompt: '2026-11-22T10:00:00Z', createdAt: '2026-11-22T10:00:00Z' }], timestamp: '2026-11-22T10:00:00Z', ...more });
  const model = (modelId, available) => ({ eventType: 'ModelAvailabilityChanged', modelId, kind: 'video', available, timestamp: '2026-11-22T10:00:00Z' });
  hub.methods = { SubscribeToModel: (connection, id) => (connection.event('ModelAvailabilityChanged', model(id, true)), null), UnsubscribeFromModel: () => null };
  const c = client();
  const states = [], models = [];
  const watch = c.navigation.watch({ models: ['m'], onState: (s) => states.push(s.revision), onModel: (m) => models.push(`${m.modelId} ${m.available}`) });
  await until('the model is asked for', () => hub.named('SubscribeToModel').length === 1);
  const tell = (payload) => hub.connections[0].event(payload.eventType, payload);
  for (const payload of [state(2), state(2), state(1), state('3'), model('other', false), state(4), model('m', false), state(5, { timestamp: 7 })]) tell(payload);
  await until('they came', () => models.length === 2);
  assert.deepEqual([states, models], [[2, 4], ['m true', 'm false']]);
  assert.equal((await c.navigation.state()).revision, 4, 'a second watch is told at once');
  hub.connections[0].drop();
  await until('the model is asked for again', () => hub.named('SubscribeToModel').length === 2);
  for (const payload of [state(4), state(6)]) tell(payload);
  await until('it goes on', () => states.length === 3);
  assert.deepEqual(states, [2, 4, 6]);
  const read = [];
  for await (const e of watch) {
    read.push(e);
    if (read.length === 2) break;
  }
  const newest = read.find((e) => e.revision === 6);
  assert.ok(newest.timestamp instanceof Date && newest.recentTasks[0].createdAt instanceof Date);
  assert.equal(newest.recentTasks[0].prompt, '2026-11-22T10:00:00Z');
  await until('the connection closes', () => c.connectionState('navigation') === 'disconnected');
  // A later watch is told what it knows not, though the client has seen it.
  const later = c.navigation.state();
  await connected(3);
  tell(state(6));
  assert.equal((await later).revision, 6);
  assert.throws(() => client({ signalR: { enabled: false } }).navigation.watch(), { option: 'signalR.enabled' });
  for (const options of [{ models: 'm' }, { models: [7] }, { onState: 1 }, { other: 1 }, { signal: 1 }]) {
    assert.throws(() => c.navigation.watch(options), { name: 'InvalidOptionError' });
  }
  await assert.rejects(c.navigation.state({ signal: AbortSignal.abort(new Error('enough')) }), /enough/);
  await until('the connection closes', () => c.connectionState('navigation') === 'disconnected');
  hub.negotiate = (_, res) => !!res.writeHead(403).end();
  await assert.rejects(c.navigation.state(), { name: 'PermissionError' });
});
