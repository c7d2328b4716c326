// What happens at the same moment, is given up half way, or comes too late.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { ConduitCoreClient, ConnectionError, InvalidOptionError, TimeoutError } from '@knn_labs/conduit-core-client';
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

const subscribed = (n = 1) => until(`${n} subscriptions`, () => hub.named('SubscribeToTasks').length >= n);
const ended = (taskId, sequence) => event('Completed', taskId, sequence, { videoUrl: 'x', duration: 1, metadata: {} });

test('one of two connects is aborted: the other one gets its connection', async () => {
  let answer;
  hub.negotiate = () => answer !== true;
  const c = client({ timeout: 1000, signalR: { reconnectAttempts: Infinity } });
  const abort = new AbortController();
  const aborted = c.connect({ signal: abort.signal });
  const kept = c.connect();
  await until('it tries', () => hub.negotiations.length > 0);
  abort.abort(new Error('enough'));
  await assert.rejects(aborted, /enough/);
  answer = true;
  await kept;
  assert.equal(c.connectionState(), 'connected');
  await assert.rejects(c.connect({ signal: AbortSignal.abort(new Error('never')) }), /never/);
});

test('a connection that is kept stays so when a later connect is aborted', async () => {
  const c = client({ signalR: { reconnectAttempts: Infinity } });
  await c.connect();
  hub.negotiate = (_, res) => !!res.writeHead(503).end();
  hub.connections[0].drop();
  await until('it is lost', () => c.connectionState() === 'reconnecting');
  const abort = new AbortController();
  const again = c.connect({ signal: abort.signal });
  abort.abort(new Error('enough'));
  await assert.rejects(again, /enough/);
  hub.negotiate = undefined;
  await until('it is back', () => c.connectionState() === 'connected');
});

test('with autoConnect: false an aborted connect opens nothing, not even when polling is chosen', async () => {
  const c = client({ signalR: { autoConnect: false, afterLastAttempt: 'poll' } });
  await assert.rejects(c.connect({ signal: AbortSignal.abort(new Error('never')) }), /never/);
  await assert.rejects(c.videos.watch('task_a').done, (e) => e instanceof ConnectionError && /call connect/.test(e.message));
  await c.connect();
  const watch = c.videos.watch('task_a');
  await subscribed();
  await c.disconnect();
  await assert.rejects(watch.done, (e) => e instanceof ConnectionError && /disconnect\(\)/.test(e.message) && /^sdk_/.test(e.requestId));
  assert.deepEqual(hub.requests, []);
});

test('a server that answers nothing holds up neither disconnect nor the next watch', async () => {
  hub.negotiate = () => true;
  const c = client();
  c.videos.watch('task_a');
  await until('it tries', () => hub.negotiations.length === 1);
  await c.disconnect();
  assert.equal(c.connectionState(), 'disconnected');
  const b = c.videos.watch('task_b');
  await until('it tries', () => hub.negotiations.length === 2);
  hub.negotiate = undefined;
  b.close();
  const last = c.videos.watch('task_c');
  await subscribed();
  last.close();
});

test('a server that never answers is one that is not there', async () => {
  hub.negotiate = () => true;
  const c = client({ timeout: 50, signalR: { reconnectAttempts: 1 } });
  await assert.rejects(c.videos.watch('task_a').done, (e) => e instanceof ConnectionError && /did not open within 50 ms.*tried again 1 time\./.test(e.message));
});

test('a negotiation that hangs takes no transport away', async () => {
  hub.negotiate = () => hub.negotiations.length === 1;
  const c = client({ timeout: 3000, signalR: { transports: ['serverSentEvents', 'webSockets'] } });
  const watch = c.videos.watch('task_a');
  await subscribed(); // by WebSockets, which are all that there is
  watch.close();
});

test('a task that is watched again at its end is told the end again, whatever comes of the first subscription', async () => {
  hub.subscribed = (connection, taskId) => {
    connection.event('Completed', ended(taskId, 3));
    return { taskId, ok: true, sequence: 3, ended: true };
  };
  const c = client();
  let again;
  const first = c.videos.watch('task_a', { onCompleted: () => (again = c.videos.watch('task_a')) });
  assert.equal((await first.done).sequence, 3);
  assert.equal((await again.done)?.sequence, 3);
});

test('who knows the end already hears that it is over, though another one has it told anew', async () => {
  hub.rest = (_, res) => res.end(JSON.stringify({ sequence: 5, status: 'running' }));
  const c = client();
  const knows = c.videos.watch('task_a', { afterSequence: 5 });
  await subscribed();
  const asks = c.videos.watch('task_a');
  await subscribed(2);
  hub.all(ended('task_a', 5));
  assert.equal((await asks.done).sequence, 5);
  assert.equal(await knows.done, undefined);
});

test('what is watched while a call is under way is gathered for the next', async () => {
  let answer;
  hub.methods.SubscribeToTasks = (_, asked) => new Promise((resolve) => (answer = () => resolve(asked.map(({ taskId }) => ({ taskId, ok: true })))));
  const c = client();
  const watches = [c.videos.watch('task_a')];
  await subscribed();
  for (const name of ['b', 'c', 'd']) {
    watches.push(c.videos.watch(`task_${name}`));
    await new Promise((done) => setTimeout(done));
  }
  answer();
  await subscribed(2);
  assert.deepEqual(hub.named('SubscribeToTasks')[1][0].map(({ taskId }) => taskId), ['task_b', 'task_c', 'task_d']);
  for (const watch of watches) watch.close();
});

test('a call that the server wants later is made once, later, and is no attempt', async () => {
  let refusals = 3;
  const refuse = () => {
    throw new Error("Failed to invoke 'X' due to an error on the server. HubException: Too many calls on this connection: 20 a second are allowed. Try again in 0.05 seconds.");
  };
  const { SubscribeToTasks } = hub.methods;
  hub.methods.SubscribeToTasks = (connection, asked) => (refusals-- > 0 ? refuse() : SubscribeToTasks(connection, asked));
  const c = client({ signalR: { reconnectAttempts: 0 } });
  const watches = Array.from({ length: 50 }, (_, i) => c.videos.watch(`task_${i}`));
  await subscribed(4);
  assert.deepEqual(hub.named('SubscribeToTasks').map(([tasks]) => tasks.length), [50, 50, 50, 50]);
  refusals = 1;
  hub.methods.UnsubscribeFromTasks = () => refusals-- > 0 && refuse();
  for (const watch of watches.slice(1)) watch.close();
  await until('they are left', () => hub.named('UnsubscribeFromTasks').length === 2);
  assert.deepEqual(hub.named('UnsubscribeFromTasks').map(([ids]) => ids.length), [49, 49]);
  hub.all(ended('task_0', 1));
  await watches[0].done;
});

test('tasks that fail together are asked for together again', async () => {
  let failing = true;
  hub.subscribed = (_, taskId) => (failing ? { taskId, error: 'Something went wrong on our side.', errorCode: 'internal_error' } : { taskId, ok: true });
  const c = client();
  const watches = Array.from({ length: 20 }, (_, i) => c.videos.watch(`task_${i}`));
  await subscribed(2);
  failing = false;
  const calls = await until('they are asked for once more', () => hub.named('SubscribeToTasks').length >= 3 && hub.named('SubscribeToTasks'));
  assert.ok(calls.every(([tasks]) => tasks.length === 20));
  for (const watch of watches) watch.close();
});

test('a connection that is kept and works is not given up for losses long ago', async () => {
  const real = globalThis.setTimeout;
  const lasted = [];
  mock.method(globalThis, 'setTimeout', (f, ms, ...more) => (ms === 10_000 ? lasted.push(f) : real(f, ms, ...more)));
  try {
    const c = client({ signalR: { reconnectAttempts: 1 } });
    await c.connect();
    for (let n = 1; n < 4; n++) {
      assert.equal(lasted.length, n);
      lasted.at(-1)();
      hub.connections[0].drop();
      await until('it is back', () => hub.opened === n + 1 && c.connectionState() === 'connected');
    }
    hub.connections[0].drop();
    await until('one that did not last is given up', () => c.connectionState() === 'disconnected');
    assert.equal(hub.opened, 4);
  } finally {
    mock.restoreAll();
  }
});

test('an iteration that is returned from does not wait for the next event', async () => {
  const c = client();
  const watch = c.videos.watch('task_a');
  const iterator = watch[Symbol.asyncIterator]();
  await subscribed();
  hub.all(event('Progress', 'task_a', 1, { progress: 1 }));
  assert.equal((await iterator.next()).value.sequence, 1);
  const pending = [iterator.next(), iterator.next()];
  assert.deepEqual(await iterator.return(), { done: true, value: undefined });
  assert.deepEqual(await Promise.all(pending), [{ done: true, value: undefined }, { done: true, value: undefined }]);
  assert.equal(await watch.done, undefined);
  assert.deepEqual(await iterator.next(), { done: true, value: undefined });
});

test('a loop that throws closes its watch', async () => {
  const watch = client().videos.watch('task_a');
  await subscribed();
  hub.all(event('Progress', 'task_a', 1, { progress: 1 }));
  await assert.rejects(async () => {
    for await (const e of watch) throw new Error(`no ${e.sequence}`);
  }, /no 1/);
  assert.equal(await watch.done, undefined);
  await until('the connection is gone', () => hub.connections.length === 0);
});

test('a watch that its callback closes tells nothing more', async () => {
  const told = [];
  const watch = client().videos.watch('task_a', { onEvent: (e) => (told.push(e.sequence), watch.close()), onProgress: () => told.push('progress'), onCompleted: () => told.push('completed') });
  await subscribed();
  hub.all(event('Progress', 'task_a', 1, { progress: 1 }));
  hub.all(ended('task_a', 2));
  assert.equal(await watch.done, undefined);
  assert.deepEqual(told, [1]);
  const other = client().videos.watch('task_a', { onEvent: () => other.close(), onCompleted: () => told.push('completed') });
  await subscribed(2);
  hub.all(ended('task_a', 2));
  assert.equal((await other.done).sequence, 2, 'the end is the end');
  assert.deepEqual(told, [1, 'completed']);
});

test('callbacks find what watch returned, also when its signal had aborted before', async () => {
  let heard;
  const watch = client().videos.watch('task_a', { signal: AbortSignal.abort(new Error('before')), onError: (error) => (heard = [watch, error.message]) });
  await assert.rejects(watch.done, /before/);
  assert.deepEqual(heard, [watch, 'before']);
});

test('a watch that is late names the request', async () => {
  const c = client({ signalR: { reconnectAttempts: 0 } });
  await assert.rejects(c.videos.watch('task_a', { timeout: 200 }).done, (e) => e instanceof TimeoutError && /^sdk_/.test(e.requestId));
});

test('many watches may share a signal', async () => {
  const warnings = [];
  const warned = (warning) => warnings.push(warning.name);
  process.on('warning', warned);
  const c = client();
  const abort = new AbortController();
  const watches = Array.from({ length: 50 }, (_, i) => c.videos.watch(`task_${i}`, { signal: abort.signal }));
  const state = c.navigation.watch({ signal: abort.signal });
  await subscribed();
  watches[7].close();
  abort.abort(new Error('all'));
  const outcomes = await Promise.allSettled(watches.map((watch) => watch.done));
  assert.deepEqual(outcomes.map(({ reason }) => reason?.message).filter((message) => message !== 'all'), [undefined]);
  await assert.rejects(state[Symbol.asyncIterator]().next(), /all/);
  process.off('warning', warned);
  assert.deepEqual(warnings, []);
});

test('nothing keeps a program running once its watches are closed', async () => {
  hub.methods.SubscribeToTasks = () => {
    throw new Error('HubException: The database does not answer.');
  };
  const program = `
    import { ConduitCoreClient } from '@knn_labs/conduit-core-client';
    const signalR = { transports: ['webSockets'], reconnectInterval: 600000, logLevel: 'None' };
    let failed = () => {};
    const logger = { debug() {}, info() {}, error() {}, warn: (line) => /tried again/.test(line) && failed() };
    const c = new ConduitCoreClient({ apiKey: 'k', baseURL: process.env.HUB, logger, signalR: { ...signalR, logLevel: 'Warning' } });
    const watch = c.videos.watch('task_a', { timeout: 600000 });
    failed = () => watch.close();`;
  await new Promise((done, failed) =>
    execFile(process.execPath, ['--input-type=module', '-e', program], { cwd: import.meta.dirname, env: { ...process.env, HUB: hub.url }, timeout: 60_000 }, (error) => (error ? failed(error) : done())),
  );
});

test('an aborted generate cancels the task that it was just asking for, if so chosen; a lost connection does not', async () => {
  const cancels = () => hub.requests.filter(({ url }) => url.endsWith('/cancel')).length;
  let accept;
  hub.rest = ({ url }, res) => {
    if (url.endsWith('/async')) accept = () => res.writeHead(202).end('{"task_id":"task_a"}');
    else res.end('{"task_id":"task_a"}');
  };
  const c = client();
  const abort = new AbortController();
  const making = c.videos.generate({ prompt: 'a' }, { signal: abort.signal, cancelOnAbort: true });
  await until('it is asked for', () => accept);
  abort.abort(new Error('enough'));
  await assert.rejects(making, /enough/);
  accept();
  await until('it is cancelled', () => cancels() === 1);

  hub.rest = (_, res) => res.writeHead(202).end('{"task_id":"task_a"}');
  hub.negotiate = (_, res) => !!res.writeHead(503).end();
  await assert.rejects(client({ signalR: { reconnectAttempts: 0 } }).videos.generate({ prompt: 'a' }, { cancelOnAbort: true }), ConnectionError);
  await assert.rejects(c.videos.generate({ prompt: 'a' }, { signal: AbortSignal.abort(new Error('never')), cancelOnAbort: true }), /never/);
  assert.equal(cancels(), 1);
});

test('a callback onTask that fails takes nothing with it', async () => {
  hub.rest = (_, res) => res.writeHead(202).end('{"task_id":"task_a"}');
  hub.subscribed = (connection, taskId) => (connection.event('Completed', ended(taskId, 1)), { taskId, ok: true });
  const lines = [];
  const c = client({ logger: { ...quiet, error: (line) => lines.push(line) } });
  assert.equal((await c.videos.generate({ prompt: 'a' }, { onTask: () => { throw new Error('mine'); } })).url, 'x');
  assert.ok(lines.some((line) => line.includes('mine')));
});

test('an event stream that breaks off again and again without news gives way to polling; its order is kept', async () => {
  let streams = 0;
  const task = (sequence, status, more) => JSON.stringify({ task_id: 'task_a', kind: 'video', status, sequence, attempt: 1, progress: 50, message: null, current_frame: null, total_frames: null, progress_source: null, queue_position: null, created_at: '2026-11-22T10:00:00Z', updated_at: '2026-11-22T10:00:00Z', completed_at: null, error: null, error_detail: null, result: null, ...more });
  const polls = [task(4, 'running'), task(4, 'running'), task(6, 'running'), task(7, 'cancelled')];
  hub.rest = ({ url, headers }, res) => {
    if (!url.endsWith('/events')) return res.end(polls.shift());
    assert.equal(headers['last-event-id'], streams++ === 0 ? undefined : '4');
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.write(streams === 1 ? `id: 4\nevent: Progress\ndata: ${JSON.stringify(event('Progress', 'task_a', 4, { progress: 40 }))}\n\n` : ': hello\n\n', () => (streams % 2 ? res.end() : res.destroy()));
  };
  const seen = [];
  const watch = client({ pollInterval: 100, signalR: { enabled: false, reconnectAttempts: 2 } }).videos.watch('task_a', { onEvent: (e) => seen.push(`${e.eventType.slice(15)} ${e.sequence}`) });
  await watch.done;
  assert.equal(streams, 3, 'one with news, and two attempts more');
  assert.deepEqual(seen, ['Progress 4', 'Progress 6', 'Cancelled 7']);
  assert.deepEqual(polls, []);
  assert.deepEqual(hub.negotiations, []);
});

test('a key that is none when it is asked for ends the watch; one that cannot be had for a while does not', async () => {
  let key = () => Promise.reject(new Error('The vault is closed.'));
  const c = client({ apiKey: () => key(), signalR: { reconnectAttempts: Infinity } });
  const states = [];
  c.onConnectionChange(({ error }) => error && states.push(error.message));
  const watch = c.videos.watch('task_a');
  await until('it tries', () => states.length > 0);
  assert.match(states[0], /The vault is closed/);
  key = () => 'condt_later';
  await subscribed();
  hub.all(ended('task_a', 1));
  await watch.done;
  key = () => '';
  await until('the connection closes', () => c.connectionState() === 'disconnected');
  await assert.rejects(c.videos.watch('task_a').done, InvalidOptionError);
  await assert.rejects(c.videos.get('task_a'), InvalidOptionError);
  await assert.rejects(client({ signalR: { enabled: false }, apiKey: () => '' }).videos.watch('task_a').done, InvalidOptionError);
});
