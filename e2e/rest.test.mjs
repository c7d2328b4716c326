// The same with curl, and what happens to requests that are wrong.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Conduit, long, short, until } from './conduit.mjs';

const run = promisify(execFile);

let conduit;
before(async () => (conduit = await Conduit.start()));
after(() => conduit?.stop());

const curl = async (...args) =>
  (await run('curl', ['--silent', '--show-error', '--max-time', '120', '--header', `Authorization: Bearer ${conduit.key}`, ...args], {
    encoding: 'buffer', maxBuffer: 1 << 28,
  })).stdout;

describe('with curl', () => {
  let task;

  test('a prompt is accepted', async () => {
    const answer = JSON.parse(await curl(`${conduit.url}/v1/videos/generations/async`, '--json', '{"prompt":"a paper boat","duration":2}'));
    assert.match(answer.task_id, /^task_[0-9a-f]{32}$/);
    assert.equal(answer.status, 'pending');
    assert.equal(answer.check_status_url, `${conduit.url}/v1/videos/generations/tasks/${answer.task_id}`);
    task = answer;
  });

  test('its events stream until the end', async () => {
    const stream = (await curl('--no-buffer', task.events_url)).toString();
    const ids = [...stream.matchAll(/^id: ?(\d+)$/gm)].map((m) => +m[1]);
    const events = [...stream.matchAll(/^event: ?(\w+)$/gm)].map((m) => m[1]);
    assert.ok(ids.length > 1 && ids.every((id, i) => i === 0 || id > ids[i - 1]), ids.join(' '));
    assert.equal(events.at(-1), 'Completed');
    assert.equal(events.filter((e) => e === 'Completed').length, 1);
    const rest = (await curl('--header', 'Last-Event-ID: 1', task.events_url)).toString();
    assert.ok(!/^id: ?1$/m.test(rest) && /^event: ?Completed$/m.test(rest));
    const over = await curl('--output', '/dev/null', '--write-out', '%{http_code}', '--header', `Last-Event-ID: ${ids.at(-1)}`, task.events_url);
    assert.equal(over.toString(), '204');
  });

  test('the result comes whole, in part, and by its head', async () => {
    const done = JSON.parse(await curl(task.check_status_url));
    assert.equal(done.status, 'completed');
    const { url, metadata } = done.result.data[0];
    const whole = await curl(url);
    assert.equal(whole.length, metadata.file_size_bytes);
    assert.equal(whole.subarray(0, 4).toString('hex'), '1a45dfa3');
    const part = await curl('--range', '100-199', url);
    assert.deepEqual(part, whole.subarray(100, 200));
    const ranged = await fetch(url, { headers: { Range: 'bytes=-10' } });
    assert.equal(ranged.status, 206);
    assert.equal(ranged.headers.get('content-range'), `bytes ${whole.length - 10}-${whole.length - 1}/${whole.length}`);
    const head = await fetch(url, { method: 'HEAD' });
    assert.equal(head.headers.get('content-length'), String(whole.length));
    assert.equal(head.headers.get('content-type'), 'video/webm');
    assert.equal((await fetch(url, { headers: { Range: `bytes=${whole.length}-` } })).status, 416);
  });

  test('a link that was tampered with opens nothing', async () => {
    const url = new URL((await conduit.task(task.task_id)).result.data[0].url);
    const changed = {
      'later expiry': (u) => u.searchParams.set('exp', String(+u.searchParams.get('exp') + 1)),
      'other signature': (u) => u.searchParams.set('sig', u.searchParams.get('sig').replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))),
      'no signature': (u) => u.searchParams.delete('sig'),
      'other result': (u) => (u.pathname = u.pathname.replace(/[0-9a-f]{32}/, '0'.repeat(32))),
    };
    for (const [what, change] of Object.entries(changed)) {
      const other = new URL(url);
      change(other);
      assert.equal((await fetch(other)).status, 403, what);
    }
    assert.equal((await fetch(url)).status, 200);
  });
});

test('an expired link says so, and the task has a new one', async () => {
  const brief = await Conduit.start({ Media__LinkLifetime: '00:00:10' });
  try {
    const id = await brief.create();
    const { result } = await brief.ended(id);
    const link = result.data[0].url;
    const answer = await until('it expires', async () => {
      const response = await fetch(link, { method: 'GET' });
      return response.status !== 200 && response;
    });
    assert.equal(answer.status, 403);
    assert.match((await answer.json()).error.message, /expired/i);
    assert.equal((await fetch((await brief.task(id)).result.data[0].url)).status, 200);
  } finally {
    await brief.stop();
  }
});

describe('a wrong request gets a clear answer, and the next one works', () => {
  const create = '/v1/videos/generations/async';
  const deep = '['.repeat(100_000);
  const cases = [
    ['malformed JSON', '{"prompt":', 400],
    ['an empty body', '', 400],
    ['not an object', '[]', 400],
    ['null', 'null', 400],
    ['deep nesting', `{"prompt":${deep}`, 400],
    ['huge', JSON.stringify({ prompt: 'x'.repeat(2_000_000) }), 413],
    ['not UTF-8', Buffer.from('{"prompt":"\xff\xfe"}', 'latin1'), 400],
    ['two values', '{"prompt":"a"}{"prompt":"b"}', 400],
    ['empty prompt', { prompt: '' }, 400],
    ['blank prompt', { prompt: ' \n\t' }, 400],
    ['no prompt', {}, 400],
    ['prompt over the limit', { prompt: 'é'.repeat(32_001) }, 400],
    ['prompt of the wrong type', { prompt: 7 }, 400],
    ['odd size', { prompt: 'a', size: '641x361' }, 400],
    ['size too small', { prompt: 'a', size: '14x14' }, 400],
    ['size too large', { prompt: 'a', size: '1922x1080' }, 400],
    ['size that is none', { prompt: 'a', size: 'wide' }, 400],
    ['duration 0', { prompt: 'a', duration: 0 }, 400],
    ['duration 61', { prompt: 'a', duration: 61 }, 400],
    ['duration in parts', { prompt: 'a', duration: 1.5 }, 400],
    ['duration as text', { prompt: 'a', duration: 'long' }, 400],
    ['fps 0', { prompt: 'a', fps: 0 }, 400],
    ['fps 61', { prompt: 'a', fps: 61 }, 400],
    ['seed out of range', '{"prompt":"a","seed":1e40}', 400],
    ['timeout 0', { prompt: 'a', timeout_seconds: 0 }, 400],
    ['timeout over an hour', { prompt: 'a', timeout_seconds: 3601 }, 400],
    ['an unknown model', { prompt: 'a', model: 'nobody' }, 404],
    ['an image model', { prompt: 'a', model: 'local-image' }, 400],
    ['n of 2', { prompt: 'a', n: 2 }, 400, 'unsupported_parameter'],
    ['b64_json', { prompt: 'a', response_format: 'b64_json' }, 400, 'unsupported_parameter'],
    ['a webhook', { prompt: 'a', webhook_url: 'https://app.example/hook' }, 400, 'unsupported_parameter'],
    ['an unknown field', { prompt: 'a', stile: 'x' }, 400, 'unsupported_parameter'],
  ];
  for (const [what, body, status, code] of cases) {
    test(what, async () => {
      const raw = typeof body === 'string' || Buffer.isBuffer(body);
      const answer = await conduit.request(create, {
        method: 'POST', body: raw ? body : JSON.stringify(body), headers: { 'Content-Type': 'application/json' },
      });
      assert.equal(answer.status, status);
      const { error } = await answer.json();
      assert.ok(error.message.length > 10 && error.type && error.code, JSON.stringify(error));
      if (code) assert.equal(error.code, code);
      assert.ok(answer.headers.get('x-request-id'));
      assert.equal((await conduit.request('/v1/models')).status, 200);
    });
  }

  test('another content type', async () => {
    const answer = await conduit.request(create, { method: 'POST', body: 'prompt=a', headers: { 'Content-Type': 'text/plain' } });
    assert.equal(answer.status, 415);
  });

  test('an unknown path and a wrong method answer in the same envelope', async () => {
    for (const [method, path, status] of [['GET', '/v1/nothing', 404], ['PUT', '/v1/tasks', 405]]) {
      const answer = await conduit.request(path, { method });
      assert.equal(answer.status, status, path);
      assert.ok((await answer.json()).error.message);
    }
  });
});

describe('who asks', () => {
  let routes;
  before(async () => {
    const id = await conduit.create();
    routes = [
      ['POST', '/v1/videos/generations/async', short],
      ['GET', `/v1/videos/generations/tasks/${id}`],
      ['DELETE', `/v1/videos/generations/tasks/${id}`],
      ['DELETE', `/v1/videos/generations/${id}`],
      ['POST', `/v1/videos/generations/tasks/${id}/retry`],
      ['GET', '/v1/tasks'],
      ['GET', `/v1/tasks/${id}`],
      ['POST', `/v1/tasks/${id}/cancel`],
      ['GET', `/v1/tasks/${id}/events`],
      ['POST', '/v1/images/generations/async', { prompt: 'a', size: '64x64' }],
      ['GET', `/v1/images/generations/${id}/status`],
      ['DELETE', `/v1/images/generations/${id}`],
      ['POST', `/v1/images/generations/${id}/retry`],
      ['GET', '/v1/models'],
      ['GET', '/v1/models/local-video'],
      ['POST', '/hubs/video-generation/negotiate?negotiateVersion=1'],
    ];
  });

  const ask = ([method, path, json], key) =>
    conduit.request(path, { method, key, ...(json ? { body: JSON.stringify(json), headers: { 'Content-Type': 'application/json' } } : {}) });

  test('no key, a wrong one, a revoked one and an expired one get 401 everywhere', async () => {
    const revoked = await conduit.newKey('--name', 'revoked', '--scopes', 'video');
    assert.equal((await conduit.cli('keys', 'revoke', 'revoked')).code, 0);
    const expired = await conduit.newKey('--name', 'expired', '--scopes', 'video', '--expires', '1s');
    await until('it has expired', async () => (await conduit.request('/v1/models', { key: expired.key })).status === 401);
    await until('the revocation is known', async () => (await conduit.request('/v1/models', { key: revoked.key })).status === 401);
    for (const [what, key] of [['none', ''], ['wrong', `condt_${'A'.repeat(43)}`], ['revoked', revoked.key], ['expired', expired.key]]) {
      for (const route of routes) {
        const answer = await ask(route, key);
        assert.equal(answer.status, 401, `${what}: ${route[0]} ${route[1]}`);
        await answer.body?.cancel();
      }
    }
  });

  test('a key without the scope gets 403 where one is needed', async () => {
    const { key } = await conduit.newKey('--name', 'navigator', '--scopes', 'navigation');
    for (const route of routes.filter(([, path]) => !path.startsWith('/v1/models'))) {
      assert.equal((await ask(route, key)).status, 403, `${route[0]} ${route[1]}`);
    }
  });

  test("someone else's task does not exist", async () => {
    const { key } = await conduit.newKey('--name', 'neighbour', '--scopes', 'video,image');
    const unknown = `task_${'0'.repeat(32)}`;
    for (const route of routes.filter(([, path]) => /task_/.test(path))) {
      const foreign = await ask(route, key);
      const none = await ask([route[0], route[1].replace(/task_[0-9a-f]{32}/, unknown), route[2]], key);
      assert.equal(foreign.status, 404, `${route[0]} ${route[1]}`);
      const [a, b] = [await foreign.json(), await none.json()].map((answer) => JSON.stringify(answer).replaceAll(/task_[0-9a-f]{32}/g, 'ID'));
      assert.equal(a, b);
    }
    const list = await (await conduit.request('/v1/tasks', { key })).json();
    assert.deepEqual(list.data, []);
  });

  test('the key in the query counts on hub and event paths only', async () => {
    const inQuery = (path) => conduit.request(`${path}access_token=${conduit.key}`, { key: '' });
    assert.equal((await inQuery('/v1/models?')).status, 401);
    const negotiate = await conduit.request(`/hubs/video-generation/negotiate?negotiateVersion=1&access_token=${conduit.key}`, { method: 'POST', key: '' });
    assert.equal(negotiate.status, 200);
    const events = await inQuery(`${routes[8][1]}?`);
    assert.equal(events.status, 200);
    await events.body.cancel();
    assert.ok(!conduit.log.includes(conduit.key), 'and is never logged');
  });

  test('the same idempotency key makes one task', async () => {
    const headers = { 'Idempotency-Key': 'once' };
    const [a, b] = [await conduit.create({}, { headers }), await conduit.create({}, { headers })];
    assert.equal(a, b);
    const other = await conduit.request('/v1/videos/generations/async', { json: { ...short, prompt: 'else' }, headers });
    assert.equal(other.status, 422);
  });
});

test('cancelling stops the work, and a retry is a new task', async () => {
  const id = await conduit.create(long);
  await until('it is at work', async () => (await conduit.task(id)).current_frame > 0);
  const gone = await conduit.request(`/v1/videos/generations/tasks/${id}`, { method: 'DELETE' });
  assert.equal(gone.status, 204);
  assert.equal((await conduit.task(id)).status, 'cancelled');
  const again = await conduit.request(`/v1/videos/generations/tasks/${id}/retry`, { method: 'POST' });
  const retried = (await again.json()).task_id;
  assert.notEqual(retried, id);
  assert.equal((await conduit.task(retried)).retry_of, id);
  assert.equal((await conduit.request(`/v1/tasks/${retried}/cancel`, { method: 'POST' })).status, 200);
  assert.equal((await conduit.request(`/v1/tasks/${retried}/cancel`, { method: 'POST' })).status, 200, 'twice is no error');
});

test('a task that runs out of time ends as such', async () => {
  const id = await conduit.create({ ...long, duration: 60, timeout_seconds: 1 });
  const task = await conduit.ended(id);
  assert.equal(task.status, 'timed_out');
  assert.equal(task.error_detail.code, 'timed_out');
});

test('health is told to anyone, and nothing else', async () => {
  for (const [path, status] of [['live', 200], ['ready', 200], ['signalr', 200]]) {
    const answer = await fetch(`${conduit.url}/health/${path}`);
    assert.equal(answer.status, status, path);
    assert.ok(!(await answer.text()).includes('task_'));
  }
  assert.match(await (await fetch(`${conduit.url}/health/signalr`)).text(), /Healthy/);
});

test('a handshake that never comes holds nothing up', async () => {
  const impatient = await Conduit.start({ SignalR__HandshakeTimeout: '00:00:01' });
  try {
    const negotiated = await impatient.request('/hubs/video-generation/negotiate?negotiateVersion=1', { method: 'POST' });
    const { connectionToken } = await negotiated.json();
    const silent = await impatient.request(`/hubs/video-generation?id=${encodeURIComponent(connectionToken)}`, { headers: { Accept: 'text/event-stream' } });
    assert.equal(silent.status, 200);
    const told = await silent.text(); // ends only when the server ends it
    assert.match(told, /[Hh]andshake/);
    await impatient.ended(await impatient.create());
  } finally {
    await impatient.stop();
  }
});
