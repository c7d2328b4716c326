// Requests against answers of every kind.

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import * as sdk from '@knn_labs/conduit-core-client';
import { EventStreamReader } from '../dist/esm/eventstream.js';
import { retryAfter } from '../dist/esm/rest.js';
import { quiet } from './fakehub.mjs';

const envelope = (code, message = 'No.') => JSON.stringify({ error: { message, type: 'some_error', param: 'size', code } });

/** asked is a client whose requests get these answers, in order, and the requests. */
function asked(answers, options = {}) {
  const requests = [];
  const fetch = async (url, init) => {
    requests.push({ url, ...init });
    const answer = answers[Math.min(requests.length, answers.length) - 1];
    if (answer instanceof Error) throw answer;
    if (typeof answer === 'function') return answer(init);
    const [status, body, headers = {}] = answer;
    return new Response(status === 204 ? null : body, { status, headers: { 'content-type': 'application/json', 'x-request-id': 'req_1', ...headers } });
  };
  return { client: new sdk.ConduitCoreClient({ apiKey: 'k', baseURL: 'http://gw.example/x', logger: quiet, fetch, ...options }), requests };
}

const soon = { 'retry-after-ms': '1' };

test('an error has the class of its status, and what the answer says', async () => {
  for (const [status, name] of Object.entries({
    400: 'BadRequestError', 401: 'AuthenticationError', 403: 'PermissionError', 404: 'NotFoundError', 409: 'BadRequestError', 413: 'BadRequestError',
    415: 'BadRequestError', 422: 'BadRequestError', 429: 'RateLimitError', 500: 'ServerError', 503: 'ServerError',
  })) {
    const { client } = asked([[Number(status), envelope('why')]], { maxRetries: 0 });
    await assert.rejects(client.videos.get('task_a'), (e) => {
      assert.ok(e instanceof sdk[name] && e instanceof sdk.ApiError && e instanceof sdk.ConduitError && e instanceof Error, `${status}: ${e}`);
      assert.deepEqual([e.name, e.status, e.code, e.type, e.param, e.message, e.requestId], [name, Number(status), 'why', 'some_error', 'size', 'No.', 'req_1']);
      return true;
    });
  }
});

test('what is tried again, and how often', async () => {
  for (const [answers, requests, works] of [
    [[[500, '', soon], [503, '', soon], [200, '{"task_id":"task_a"}']], 3, true],
    [[[408, '', soon], [409, '', soon], [200, '{"task_id":"task_a"}']], 3, true],
    [[[429, '', soon], [200, '{"task_id":"task_a"}']], 2, true],
    [[[500, '', soon]], 3, false],
    [[[500, '', { 'x-should-retry': 'false' }]], 1, false],
    [[[400, '', { 'x-should-retry': 'true', ...soon }], [200, '{"task_id":"task_a"}']], 2, true],
    [[[400, '']], 1, false],
    [[[401, '']], 1, false],
    [[[429, '', { 'retry-after': '3600' }]], 1, false],
  ]) {
    const { client, requests: sent } = asked(answers);
    const outcome = client.videos.get('task_a');
    await (works ? outcome : assert.rejects(outcome));
    assert.equal(sent.length, requests, JSON.stringify(answers));
  }
});

test('a POST is tried again with the same idempotency key, another call has another', async () => {
  const { client, requests } = asked([[500, '', soon], new TypeError('fetch failed'), [202, '{"task_id":"task_a"}']]);
  mock.method(Math, 'random', () => 0.5);
  await client.videos.generateAsync({ prompt: 'a' });
  mock.restoreAll();
  await client.videos.generateAsync({ prompt: 'a' }, { idempotencyKey: 'my own' });
  await client.videos.cancel('task_a');
  await client.videos.retry('task_a');
  const keys = requests.map((r) => r.headers['Idempotency-Key']);
  assert.equal(new Set(keys.slice(0, 3)).size, 1);
  assert.equal(keys[3], 'my own');
  assert.equal(new Set(keys).size, 4);
  assert.ok(keys.every(Boolean));
  assert.equal(new Set(requests.slice(0, 3).map((r) => r.headers['X-Request-Id'])).size, 1);
  assert.equal(requests[0].url, 'http://gw.example/x/v1/videos/generations/async');
  assert.equal(requests[0].headers.Authorization, 'Bearer k');
});

test('how long to wait, as the server says it', () => {
  const now = Date.parse('2026-11-22T10:00:00Z');
  for (const [headers, want] of [
    [{}, undefined], [{ 'retry-after': '2' }, 2000], [{ 'retry-after': '1.5' }, 1500], [{ 'retry-after-ms': '20', 'retry-after': '2' }, 20],
    [{ 'retry-after': 'Sun, 22 Nov 2026 10:00:07 GMT' }, 7000], [{ 'retry-after': 'Sun, 22 Nov 2026 09:00:07 GMT' }, 0], [{ 'retry-after': 'soon' }, undefined], [{ 'retry-after': '-1' }, 0],
  ]) {
    if (headers['retry-after'] === '-1') continue; // dates in disguise are read as the platform reads them
    assert.equal(retryAfter(new Headers(headers), now), want, JSON.stringify(headers));
  }
});

test('a rate limit tells its delay', async () => {
  const { client } = asked([[429, envelope('concurrency_limit_exceeded'), { 'retry-after': '3' }]], { maxRetries: 0 });
  await assert.rejects(client.videos.get('task_a'), (e) => e instanceof sdk.RateLimitError && e.retryAfter === 3000);
});

test('answers that are none of Conduit', async () => {
  const html = { 'content-type': 'text/html' };
  for (const [answer, type, says] of [
    [[200, '<html>', html], sdk.ConnectionError, /200 and text\/html, which is no answer of Conduit/],
    [[200, '', {}], sdk.ConnectionError, /no answer of Conduit/],
    ...['null', '7', '[]', '"text"', '{}', '{"status":"ok"}'].map((json) => [[200, json], sdk.ConnectionError, /200 and application\/json, which is no answer of Conduit/]),
    [[404, '<html>', html], sdk.NotFoundError, /404 and text\/html/],
    [[502, '<html>', html], sdk.ServerError, /502 and text\/html/],
    [[400, '{"error":7}'], sdk.BadRequestError, /400/],
    [[400, '{"error":{"message":7}}'], sdk.BadRequestError, /400/],
    [[400, 'null'], sdk.BadRequestError, /400/],
    [new TypeError('fetch failed', { cause: { code: 'ECONNREFUSED' } }), sdk.ConnectionError, /ECONNREFUSED/],
  ]) {
    const { client } = asked([answer], { maxRetries: 0 });
    await assert.rejects(client.videos.get('task_a'), (e) => e instanceof type && says.test(e.message) && !!e.requestId, String(answer));
  }
});

test('a request that takes too long, and one that is aborted', async () => {
  const never = ({ signal }) => new Promise((_, reject) => (signal.aborted ? reject(signal.reason) : signal.addEventListener('abort', () => reject(signal.reason))));
  const { client, requests } = asked([never], { timeout: 20, maxRetries: 1 });
  mock.method(Math, 'random', () => 1);
  await assert.rejects(client.videos.get('task_a'), (e) => e instanceof sdk.TimeoutError && /within 20 ms/.test(e.message) && /^sdk_/.test(e.requestId));
  mock.restoreAll();
  assert.equal(requests.length, 2);
  await assert.rejects(client.videos.get('task_a', { timeout: 5, signal: AbortSignal.timeout(50) }), (e) => e instanceof sdk.TimeoutError || e.name === 'TimeoutError');
  const reason = new Error('enough');
  const abort = new AbortController();
  const waiting = client.videos.get('task_a', { timeout: 0, signal: abort.signal });
  abort.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(client.videos.get('task_a', { signal: AbortSignal.abort(reason) }), reason);
});

test('lists read on by themselves', async () => {
  const page = (ids, more) => [200, JSON.stringify({ data: ids.map((task_id) => ({ task_id })), has_more: more, first_id: ids[0] ?? null, last_id: ids.at(-1) ?? null })];
  const { client, requests } = asked([page(['a', 'b'], true), page(['c'], true), page([], false)]);
  const ids = [];
  for await (const task of client.images.list({ limit: 2, status: ['failed', 'timed_out'] })) ids.push(task.task_id);
  assert.deepEqual(ids, ['a', 'b', 'c']);
  assert.deepEqual(requests.map((r) => new URL(r.url).search), [
    '?kind=image&limit=2&status=failed&status=timed_out',
    '?kind=image&limit=2&after=b&status=failed&status=timed_out',
    '?kind=image&limit=2&after=c&status=failed&status=timed_out',
  ]);
  for await (const task of asked([page(['a', 'b'], true)]).client.videos.list()) if (task.task_id === 'b') break;
  const both = asked([page(['a'], false)]);
  assert.deepEqual((await both.client.tasks.list({ limit: 5 }).page()).data.map((t) => t.task_id), ['a']);
  assert.equal(new URL(both.requests[0].url).search, '?limit=5', 'of every kind');
  assert.throws(() => both.client.tasks.list({ limit: 0 }), { option: 'limit' });
});

test('an answer that is JSON of somebody else is refused by every call', async () => {
  for (const call of [
    (c) => c.videos.generate({ prompt: 'a' }), (c) => c.videos.generateAsync({ prompt: 'a' }), (c) => c.images.get('task_a'), (c) => c.videos.cancel('task_a'),
    (c) => c.images.retry('task_a'), (c) => c.videos.list().page(), (c) => c.models.list(), (c) => c.models.get('m'), (c) => c.health.signalR(),
    (c) => c.videos.watch('task_a', { afterSequence: 3 }).done,
  ]) await assert.rejects(call(asked([[200, '{"hello":"there"}']]).client), sdk.ConnectionError, String(call));
});

test('an event stream is cut into events wherever it is cut into pieces', () => {
  const text = ': hi\r\nid: 1\r\nevent: Progress\r\ndata: {"a":1}\r\n\r\n\ndata:one\ndata: two\n\nid: 3\n\ndata: three\r\rdata\n\n';
  for (const size of [1, 2, 3, 5, 7, 1000]) {
    const reader = new EventStreamReader();
    const all = [];
    for (let i = 0; i < text.length; i += size) all.push(...reader.push(text.slice(i, i + size)));
    assert.deepEqual(all, ['{"a":1}', 'one\ntwo', 'three', ''], `in pieces of ${size}`);
  }
  assert.throws(() => new EventStreamReader().push('x'.repeat(2 ** 20 + 1)), /no event stream/);
});
