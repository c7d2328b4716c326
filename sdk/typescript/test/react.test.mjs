// The hooks, mounted in strict mode, on a hub that does what a test says.

import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, test } from 'node:test';
import { Window } from 'happy-dom';
import { event, FakeHub, quiet, until } from './fakehub.mjs';

const window = new Window();
globalThis.window = window;
globalThis.document = window.document;
if (!globalThis.navigator) globalThis.navigator = window.navigator;
const { createElement, StrictMode, version } = await import('react');
assert.ok(version.startsWith(process.env.REACT ?? '19.'), version);
const { flushSync } = await import('react-dom');
const { createRoot } = await import('react-dom/client');
const { renderToString } = await import('react-dom/server');
const { ConduitCoreClient } = await import('@knn_labs/conduit-core-client');
const { ConduitProvider, useConduit, useImageProgress, useNavigationState, useVideoProgress } = await import('@knn_labs/conduit-core-client/react');

after(() => window.close());

let hub, client, root, shown;
beforeEach(async () => {
  hub = await FakeHub.start();
  client = new ConduitCoreClient({ apiKey: 'k', baseURL: hub.url, logger: quiet, signalR: { reconnectInterval: 5, transports: ['webSockets'] } });
  root = createRoot(document.createElement('div'));
  shown = [];
});
afterEach(async () => {
  root.unmount();
  await client.disconnect();
  await hub.stop();
});

function Shown({ hook = useVideoProgress, task }) {
  const told = hook(task);
  shown.push({ task, ...told });
  return createElement('p', null, told.progress);
}

const render = (element) => flushSync(() => root.render(element));
const show = (props) => render(createElement(StrictMode, null, createElement(ConduitProvider, { client }, createElement(Shown, props))));
const last = () => shown.at(-1);

test('a video from its beginning to its end', async () => {
  show({ task: 'task_a' });
  assert.deepEqual([last().progress, last().status, last().state, last().result, last().error], [0, '', 'pending', undefined, undefined]);
  await until('it is asked for', () => hub.named('SubscribeToTasks').length > 0);
  hub.all(event('Progress', 'task_a', 1, { progress: 0, message: 'queued' }));
  await until('it is queued', () => last().status === 'queued' && last().state === 'pending' && last().connectionState === 'connected');
  hub.all(event('Started', 'task_a', 2));
  hub.all(event('Progress', 'task_a', 3, { progress: 40, message: 'rendering' }));
  await until('it moves', () => last().progress === 40 && last().status === 'rendering' && last().state === 'running');
  hub.all(event('Completed', 'task_a', 4, { videoUrl: 'http://x', duration: 1, metadata: {} }));
  await until('it is done', () => last().state === 'completed');
  assert.deepEqual([last().progress, last().result.videoUrl, last().error], [100, 'http://x', undefined]);
  await until('the connection closes', () => last().connectionState === 'disconnected');
  assert.equal(hub.opened, 1, 'strict mode opens no second connection');
  assert.equal(hub.named('SubscribeToTasks').length, 1);
});

test('fast switches show nothing of another task', async () => {
  for (const task of ['task_a', 'task_b', 'task_c', 'task_b', 'task_d']) show({ task });
  await until('the last one is asked for', () => hub.named('SubscribeToTasks').flat(2).some((t) => t.taskId === 'task_d'));
  hub.all(event('Progress', 'task_d', 1, { progress: 50 }));
  for (const task of ['task_a', 'task_b', 'task_c']) hub.all(event('Progress', task, 1, { progress: 99 }));
  await until('it moves', () => last().progress === 50);
  assert.ok(shown.every((s) => s.task === 'task_d' || s.progress === 0));
  show({ task: 'task_e' });
  assert.deepEqual([last().progress, last().state], [0, 'pending']);
  assert.ok(shown.filter((s) => s.task === 'task_e').every((s) => s.progress === 0), 'not even for one frame');
  show({ task: null });
  assert.equal(last().state, 'idle');
  await until('nothing is watched any more', () => hub.connections.length === 0);
});

test('failures, cancelling and a lost watch', async () => {
  show({ task: 'task_a' });
  await until('it is asked for', () => hub.named('SubscribeToTasks').length > 0);
  hub.all(event('Failed', 'task_a', 1, { error: 'No paint.', isRetryable: true, errorCode: 'paint' }));
  await until('it failed', () => last().state === 'failed');
  assert.deepEqual([last().status, last().error.name, last().error.errorCode, last().error.isRetryable], ['No paint.', 'TaskFailedError', 'paint', true]);
  assert.match(last().error.requestId, /^sdk_/);
  hub.subscribed = (_, taskId) => ({ taskId, error: 'There is no such task.' });
  show({ task: 'task_b' });
  await until('it is lost', () => last().state === 'lost');
  assert.equal(last().error.name, 'NotFoundError');
  show({ task: 'not an id' });
  await until('it cannot be', () => last().state === 'lost' && last().error.name === 'InvalidOptionError');
});

test('images', async () => {
  const image = (name, sequence, more) => ({ ...event(name, 'task_i', sequence, more), eventType: `ImageGeneration${name}` });
  show({ hook: useImageProgress, task: 'task_i' });
  await until('it is asked for', () => hub.named('SubscribeToTasks').length > 0);
  assert.ok(hub.negotiations[0].startsWith('/hubs/image-generation/'));
  hub.connections[0].event('Completed', image('Completed', 2, { imageUrl: 'http://x', images: [], metadata: {} }));
  await until('it is done', () => last().state === 'completed' && last().result.imageUrl === 'http://x');
});

test('the navigation state', async () => {
  const seen = [];
  function Navigation() {
    seen.push(useNavigationState());
    return null;
  }
  render(createElement(StrictMode, null, createElement(ConduitProvider, { client }, createElement(Navigation))));
  assert.deepEqual(seen.at(-1), { state: undefined, error: undefined, connectionState: 'disconnected' });
  await until('it is connected', () => seen.at(-1).connectionState === 'connected');
  const tell = (revision) => hub.connections[0].event('NavigationStateUpdated', { eventType: 'NavigationStateUpdated', revision, kinds: [], models: [], recentTasks: [], timestamp: '2026-11-22T10:00:00Z' });
  for (const revision of [1, 2]) tell(revision);
  await until('it came', () => seen.at(-1).state?.revision === 2);
  assert.equal(hub.opened, 1, 'strict mode opens no second connection');
  hub.negotiate = (_, res) => !!res.writeHead(401).end();
  hub.connections[0].drop();
  await until('it is lost', () => seen.at(-1).error?.name === 'AuthenticationError');
  assert.equal(seen.at(-1).state.revision, 2, 'what is known stays');
});

test('on a server nothing is connected to', () => {
  const html = renderToString(createElement(ConduitProvider, { client }, createElement(Shown, { task: 'task_a' })));
  assert.equal(html, '<p>0</p>');
  delete globalThis.window;
  assert.equal(renderToString(createElement(Shown, { task: 'task_a' })), '<p>0</p>', 'without a provider there is no page yet');
  globalThis.window = window;
  assert.deepEqual(hub.negotiations, []);
});

test('without a provider the client is one of the page', () => {
  globalThis.location = { origin: hub.url };
  let own;
  function Own() {
    own = useConduit();
    return null;
  }
  render(createElement(Own));
  delete globalThis.location;
  const first = own;
  render(createElement(Own, { again: true }));
  assert.equal(own, first);
});
