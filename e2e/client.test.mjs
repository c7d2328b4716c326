// The official @microsoft/signalr client in Node, over each transport.

import assert from 'node:assert/strict';
import { get } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { HttpTransportType, HubConnectionBuilder, LogLevel } from '@microsoft/signalr';
import { Conduit, endless, long, short, until } from './conduit.mjs';

const names = ['Started', 'Progress', 'Completed', 'Failed', 'Cancelled'];
const ends = ['Completed', 'Failed', 'Cancelled'];

/** connect gives a started connection that records the events of every task. */
async function connect(conduit, transport, { key = conduit.key, reconnect = false } = {}) {
  let builder = new HubConnectionBuilder()
    .withUrl(`${conduit.url}/hubs/video-generation`, { transport, accessTokenFactory: () => key })
    .configureLogging(LogLevel.None);
  if (reconnect) builder = builder.withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => 200 });
  const connection = builder.build();
  connection.events = [];
  for (const name of names) connection.on(name, (payload) => connection.events.push({ name, ...payload }));
  connection.of = (id) => connection.events.filter((e) => e.taskId === id);
  connection.end = (id, within = 300_000) =>
    until(`the end of ${id} arrives`, () => connection.of(id).find((e) => ends.includes(e.name)), { within });
  await connection.start();
  return connection;
}

/** assertOneLife checks what Conduit promises of the events of one subscription. */
function assertOneLife(events, { from = 0 } = {}) {
  assert.ok(events.length > 0);
  let last = from;
  for (const e of events) {
    assert.ok(e.sequence > last, `sequence ${e.sequence} after ${last}`);
    last = e.sequence;
    assert.equal(e.eventType, `VideoGeneration${e.name}`);
    assert.ok(!Number.isNaN(Date.parse(e.timestamp)), e.timestamp);
    assert.equal(typeof e.attempt, 'number');
    if (e.name === 'Progress') {
      assert.equal(e.progress, e.percentage);
      assert.ok(e.progress >= 0 && e.progress <= 100);
    }
  }
  assert.deepEqual(
    events.filter((e) => ends.includes(e.name)).map((e) => e.sequence),
    [last],
    'exactly one end, and it is the last',
  );
}

async function assertVideo(url) {
  const head = Buffer.from(await (await fetch(url)).arrayBuffer()).subarray(0, 4);
  assert.equal(head.toString('hex'), '1a45dfa3', 'the link leads to a WebM file');
}

for (const [name, transport] of [
  ['WebSockets', HttpTransportType.WebSockets],
  ['server-sent events', HttpTransportType.ServerSentEvents],
  ['long polling', HttpTransportType.LongPolling],
]) {
  describe(`over ${name}`, () => {
    let conduit, connection;
    before(async () => {
      conduit = await Conduit.start({ Renderer__MaxWorkers: '1' });
      connection = await connect(conduit, transport);
    });
    after(async () => {
      await connection?.stop();
      await conduit?.stop();
    });

    test('a subscriber sees the whole life, in order, with one end', async () => {
      const { id, letGo } = await conduit.createBehind({ ...short, duration: 6, fps: 30, size: '640x360' });
      await connection.invoke('SubscribeToTask', id);
      await connection.invoke('SubscribeToTask', id); // on top: only what is new
      await letGo();
      const end = await connection.end(id);
      assertOneLife(connection.of(id));
      assert.equal(end.name, 'Completed');
      assert.deepEqual(end.metadata, { width: 640, height: 360, fps: 30, format: 'webm' });
      assert.ok(Math.abs(end.duration - 6) < 0.1, `duration ${end.duration}`);
      const frames = connection.of(id).filter((e) => e.currentFrame);
      assert.ok(frames.length >= 3 && frames.every((e) => e.totalFrames === 180 && e.progressSource === 'native'));
      await assertVideo(end.videoUrl);
    });

    test('who comes late gets the end at once, each time that it subscribes anew', async () => {
      const id = await conduit.create();
      await conduit.ended(id);
      await connection.invoke('SubscribeToTask', id);
      const end = await connection.end(id);
      await connection.invoke('SubscribeToTask', id); // the end has ended the subscription, so this is a new one
      await until('it is told again', () => connection.of(id).length === 2);
      assert.deepEqual(connection.of(id).map((e) => [e.name, e.sequence]), [['Completed', end.sequence], ['Completed', end.sequence]]);
    });

    test('SubscribeToTaskFrom tells what is missing', async () => {
      const id = await conduit.create();
      const { sequence } = await conduit.ended(id);
      await connection.invoke('SubscribeToTaskFrom', id, 1);
      await connection.end(id);
      const events = connection.of(id);
      assertOneLife(events, { from: 1 });
      assert.ok(events.some((e) => e.name === 'Started'));
      assert.equal(events.at(-1).sequence, sequence);
      await connection.invoke('UnsubscribeFromTask', id);
      await connection.invoke('SubscribeToTaskFrom', id, sequence);
      await connection.invoke('UnsubscribeFromTask', id);
      assert.equal(connection.of(id).length, events.length, 'nothing is above the last sequence');
    });

    test('unsubscribing stops the events, subscribing again catches up', async () => {
      const id = await conduit.create(endless);
      await connection.invoke('SubscribeToTask', id);
      await until('it moves', () => connection.of(id).some((e) => e.progress > 0));
      await connection.invoke('UnsubscribeFromTask', id);
      const seen = connection.of(id).length;
      const at = (await conduit.task(id)).sequence;
      await until('it moves on', async () => (await conduit.task(id)).sequence > at + 3);
      assert.equal(connection.of(id).length, seen);
      await connection.invoke('SubscribeToTask', id);
      const caught = connection.of(id)[seen];
      assert.ok(caught && caught.sequence > at, 'the newest state comes with the answer');
      const cancelled = await conduit.cancel(id);
      assert.equal(cancelled.status, 200);
      assert.equal((await connection.end(id)).name, 'Cancelled');
      assertOneLife(connection.of(id));
    });
  });
}

describe('who asks', () => {
  let conduit;
  before(async () => (conduit = await Conduit.start()));
  after(() => conduit?.stop());

  test('a foreign task and an unknown one get one and the same answer', async () => {
    const id = await conduit.create();
    const { key } = await conduit.newKey('--name', 'stranger', '--scopes', 'video');
    const stranger = await connect(conduit, HttpTransportType.WebSockets, { key });
    const answers = [];
    for (const asked of [id, `task_${'0'.repeat(32)}`, 'task_', '../../etc']) {
      for (const method of ['SubscribeToTask', 'UnsubscribeFromTask']) {
        answers.push(await stranger.invoke(method, asked).then(
          () => `${method}: ok`,
          (error) => `${method}: ${error.message.replaceAll(asked, 'ID')}`,
        ));
      }
      answers.push(await stranger.invoke('SubscribeToTaskFrom', asked, 0).then(() => 'ok', (e) => `From: ${e.message.replaceAll(asked, 'ID')}`));
    }
    assert.equal(new Set(answers).size, 3, [...new Set(answers)].join('\n'));
    assert.ok(answers[0] !== 'SubscribeToTask: ok');
    await conduit.ended(id);
    assert.deepEqual(stranger.events, []);
    await stranger.stop();
  });

  test('a revoked key loses its connection, and does not come back', async () => {
    const { key } = await conduit.newKey('--name', 'gone', '--scopes', 'video');
    const open = await Promise.all(
      [HttpTransportType.WebSockets, HttpTransportType.ServerSentEvents, HttpTransportType.LongPolling].map((t) => connect(conduit, t, { key })),
    );
    const closed = Promise.all(open.map((c) => new Promise((done) => c.onclose(done))));
    assert.equal((await conduit.cli('keys', 'revoke', 'gone')).code, 0);
    await closed;
    await assert.rejects(connect(conduit, HttpTransportType.WebSockets, { key }), /401/);
  });

  for (const [what, key] of [['no key', ''], ['a wrong key', `condt_${'x'.repeat(43)}`], ['nonsense', 'é\n'.trim()]]) {
    test(`${what} does not negotiate`, async () => {
      await assert.rejects(connect(conduit, HttpTransportType.WebSockets, { key }), /401|negotiat/);
    });
  }

  test('a key without the scope is told so', async () => {
    const { key } = await conduit.newKey('--name', 'images-only', '--scopes', 'image');
    const answer = await conduit.request('/hubs/video-generation/negotiate?negotiateVersion=1', { method: 'POST', key });
    assert.equal(answer.status, 403);
  });

  test("someone else's connection token opens nothing, and takes nothing away", async () => {
    const { key } = await conduit.newKey('--name', 'thief', '--scopes', 'video');
    const negotiate = async () => {
      const answer = await conduit.request('/hubs/video-generation/negotiate?negotiateVersion=1', { method: 'POST' });
      return `/hubs/video-generation?id=${encodeURIComponent((await answer.json()).connectionToken)}`;
    };
    const attack = async (path) => {
      for (const [method, headers] of [['GET', { Accept: 'text/event-stream' }], ['GET', {}], ['POST', {}], ['DELETE', {}]]) {
        const answer = await conduit.request(path, { key, method, headers, ...(method === 'POST' ? { body: '{"type":6}\x1e' } : {}) });
        assert.equal(answer.status, 403, `${method} ${headers.Accept ?? ''}`);
        await answer.body?.cancel();
      }
      const opened = await new Promise((done, failed) => {
        const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==' };
        get(`${conduit.url}${path}&access_token=${key}`, { headers })
          .on('upgrade', () => done(101)).on('response', (answer) => done(answer.resume().statusCode)).on('error', failed);
      });
      assert.equal(opened, 403, 'WebSocket');
    };
    const path = await negotiate();
    await attack(path); // nobody has attached yet
    await (await conduit.request(path)).text(); // the first poll opens it
    await conduit.request(path, { method: 'POST', body: '{"protocol":"json","version":1}\x1e' });
    assert.equal(await (await conduit.request(path)).text(), '{}\x1e');
    await attack(path); // it is in use
    assert.equal((await conduit.request(path, { method: 'DELETE' })).status, 202, 'its owner still has it');
  });

  test('wrong arguments are an error of the call, not of the connection', async () => {
    const connection = await connect(conduit, HttpTransportType.WebSockets);
    for (const args of [[], ['a', 'b'], [7], [null], [{}], [['x']]]) {
      await assert.rejects(connection.invoke('SubscribeToTask', ...args), undefined, JSON.stringify(args));
    }
    await assert.rejects(connection.invoke('SubscribeToTaskFrom', 'x', 'many'));
    await assert.rejects(connection.invoke('TaskCompleted', 'x'), /does not exist/);
    const id = await conduit.create();
    await connection.invoke('SubscribeToTask', id);
    await connection.end(id);
    await connection.stop();
  });

  test('a message over the limit ends that connection only', async () => {
    const [loud, quiet] = await Promise.all([1, 2].map(() => connect(conduit, HttpTransportType.WebSockets)));
    const closed = new Promise((done) => loud.onclose(done));
    loud.invoke('SubscribeToTask', 'x'.repeat(40_000)).catch(() => {});
    await closed;
    const id = await conduit.create();
    await quiet.invoke('SubscribeToTask', id);
    await quiet.end(id);
    await quiet.stop();
  });
});

test('after kill -9 in the middle of a render the task runs on, and the subscriber hears its end', async () => {
  const conduit = await Conduit.start();
  try {
    const connection = await connect(conduit, HttpTransportType.WebSockets, { reconnect: true });
    const id = await conduit.create({ ...long, duration: 4 });
    connection.onreconnected(() => connection.invoke('SubscribeToTaskFrom', id, connection.of(id).at(-1).sequence));
    await connection.invoke('SubscribeToTask', id);
    await until('it is at work', () => connection.of(id).some((e) => e.currentFrame > 10));
    await conduit.kill();
    const before = connection.of(id).at(-1).sequence;
    await conduit.run();
    await until('it runs on', () => connection.of(id).some((e) => e.sequence > before && e.currentFrame));
    const end = await connection.end(id);
    assert.equal(end.name, 'Completed');
    assertOneLife(connection.of(id));
    await assertVideo(end.videoUrl);
    await connection.stop();
  } finally {
    await conduit.stop();
  }
});

test('a server that is asked to stop ends well, and its tasks go on with the next', async () => {
  const conduit = await Conduit.start();
  try {
    const id = await conduit.create({ ...long, duration: 3 });
    await until('it is at work', async () => (await conduit.task(id)).status === 'running');
    assert.deepEqual(await conduit.terminate(), { code: 0, signal: null });
    await conduit.run();
    assert.equal((await conduit.ended(id)).status, 'completed');
  } finally {
    await conduit.stop();
  }
});
