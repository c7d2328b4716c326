// Every block of code of docs/guide/ does what it says, as it stands. A block
// that is no program of its own is put into a frame; none is edited.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { HubConnectionBuilder, LogLevel } from '@microsoft/signalr';
import { launch, open, serve } from './browser.mjs';
import { Conduit, endless, short, until } from './conduit.mjs';
import { startHost } from './guide/host.mjs';
import { blocks, code, left, original, text } from './guide/page.mjs';
import { makeProject, misfits, typescript } from './guide/project.mjs';

const site = 'https://api.conduit.ai';
const signalr = readFileSync(createRequire(import.meta.url).resolve('@microsoft/signalr/dist/browser/signalr.js'), 'utf8');
const scratch = mkdtempSync(join(tmpdir(), 'conduit-guide-'));

const interfaces = ['Progress', 'Completed', 'Failed'].map((name) => ({
  name, heading: `Video Generation ${name}`, code: code(`Video Generation ${name}`, 'typescript'),
}));

const result = 'RESULT ';
const tell = (what) => `console.log('${result}' + JSON.stringify(${what}));`;
/** watched is what a framed program does with its client. */
const watched = `
const seen: number[] = [];
const video = await client.videos.generate(${JSON.stringify(short)}, { onProgress: (event) => seen.push(event.progress) });
${tell('{ seen, video, health: await client.health.signalR(), status: (await fetch(video.url)).status }')}`;

const files = {
  'client.ts': code('Client Connection', 'typescript') + watched,
  'tuning.ts': `
    import { ConduitCoreClient, type ClientOptions } from '@knn_labs/conduit-core-client';
    const tuning: ClientOptions = ${code('Client-Side Optimization', 'typescript')};
    const client = new ConduitCoreClient({ apiKey: 'your-virtual-key', baseURL: '${site}', ...tuning });${watched}`,
  'debug.ts': `
    import { ConduitCoreClient } from '@knn_labs/conduit-core-client';
    ${code('Debug Logging', 'typescript')}${watched}`,
  'events.ts': `
    import { ConduitCoreClient } from '@knn_labs/conduit-core-client';
    ${interfaces.map((i) => i.code).join('\n')}
    const client = new ConduitCoreClient({ apiKey: 'your-virtual-key', baseURL: '${site}', signalR: { logLevel: 'None' } });
    const found: { Progress?: VideoGenerationProgress; Completed?: VideoGenerationCompleted; Failed?: VideoGenerationFailed } = {};
    for (const request of ${JSON.stringify([endless, short, { ...endless, timeout_seconds: 1 }])}) {
      const { task_id } = await client.videos.generateAsync(request);
      for await (const event of client.videos.watch(task_id)) {
        if (event.eventType === 'VideoGenerationCompleted') found.Completed = event;
        if (event.eventType === 'VideoGenerationFailed') found.Failed = event;
        if (event.eventType === 'VideoGenerationProgress' && event.currentFrame && !found.Progress) {
          found.Progress = event;
          await client.videos.cancel(task_id);
        }
      }
    }
    ${tell('found, (_, v) => (v?.timestamp ? { ...v, timestamp: v.timestamp instanceof Date } : v)')}`,
  'authentication.ts': `
    import { HubConnectionBuilder } from '@microsoft/signalr';
    export async function follow(virtualKey: string, taskId: string) {
      ${code('Authentication', 'typescript')}
      const end = new Promise((done) => connection.on('Completed', done));
      await connection.start();
      await connection.invoke('SubscribeToTask', taskId);
      const completed = await end;
      await connection.stop();
      return completed;
    }`,
  'hook.ts': `
    import { useEffect, useState } from 'react';
    import { HubConnectionBuilder } from '@microsoft/signalr';
    ${interfaces[0].code}
    ${code('React Hook Example', 'typescript')}
    export { useVideoProgress };`,
};

let host, project, browser;
before(async () => {
  [host, project] = await Promise.all([startHost(), makeProject(scratch, files)]);
  browser = await launch(...host.args);
});
after(async () => {
  await browser?.close();
  await host?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** program runs a framed program and gives its result, and all that it wrote. */
async function program(name) {
  const { stdout, stderr } = await host.node(project.file(name));
  const line = stdout.split('\n').find((l) => l.startsWith(result));
  assert.ok(line, `${name} has no result:\n${stdout}\n${stderr}`);
  return { ...JSON.parse(line.slice(result.length)), output: stdout.replace(line, '') + stderr };
}

function assertWatched({ seen, video, health, status }) {
  assert.ok(seen.every((n, i) => i === 0 || n >= seen[i - 1]), seen.join(' '));
  assert.match(video.url, new RegExp(`^${site}/v1/media/`));
  assert.equal(status, 200);
  assert.equal(health.status, 'Healthy');
}

/** page opens a page of the server's own origin, with a script. */
async function pageWith(script, { signedIn = false } = {}) {
  const page = await open(browser);
  page.lines = [];
  page.on('console', (message) => message.type() === 'log' && page.lines.push(message.text()));
  if (signedIn) {
    const { stdout } = await host.conduit.cli('login');
    await page.goto(`${site}/${stdout.match(/#login=\S+/)[0]}`);
    await page.getByLabel('Prompt').waitFor();
  }
  await serve(page, site, {
    '/example': { type: 'text/html', body: '<!doctype html><div id="root"></div><script src="/signalr.js"></script><script src="/example.js"></script>' },
    '/signalr.js': { type: 'text/javascript', body: signalr },
    '/example.js': { type: 'text/javascript', body: script },
  });
  await page.goto(`${site}/example`);
  return page;
}

const rises = (numbers) => numbers.every((n, i) => i === 0 || n > numbers[i - 1]);

test('the guide is the text that users have; what was added stands in frames', () => {
  assert.equal(createHash('sha256').update(original).digest('hex'), '9ad915c85ecb1f315f2f418a3fd2b41c78d7b593f3028f70b56ec3353afb3642', 'a sentence or block of the guide was changed');
});

test('every hub that it names is there', async () => {
  const paths = new Set(text.match(/\/hubs\/[a-z-]+/g));
  assert.equal(paths.size, 3);
  for (const path of paths) {
    const answer = await host.conduit.request(`${path}/negotiate?negotiateVersion=1`, { method: 'POST' });
    assert.equal(answer.status, 200, path);
  }
});

test("the SDK's client follows a video to its end", async () => assertWatched(await program('client.js')));

test("the SDK's tuning", async () => assertWatched(await program('tuning.js')));

test("the SDK's debug logging tells requests, and no key", async () => {
  const told = await program('debug.js');
  assertWatched(told);
  assert.match(told.output, /POST .*\/v1\/videos\/generations\/async/);
  assert.ok(!told.output.includes('your-key'), told.output);
});

test('the events are what its interfaces say', async () => {
  const found = await program('events.js');
  for (const { name, code } of interfaces) assert.deepEqual(misfits(code, found[name]), [], JSON.stringify(found[name]));
});

test('the connection with a key', async () => {
  const page = await pageWith(await project.bundle(`import { follow } from './authentication.js'; window.follow = follow;`));
  const id = await host.conduit.create();
  const completed = await page.evaluate((task) => window.follow('your-virtual-key', task), id);
  assert.equal(completed.taskId, id);
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('the React hook', async () => {
  const page = await pageWith(
    await project.bundle(`
      import { createRoot } from 'react-dom/client';
      import { useVideoProgress } from './hook.js';
      function Shown({ task }) {
        const { progress, status } = useVideoProgress(task);
        return <p id="shown" data-status={status}>{progress}</p>;
      }
      const root = createRoot(document.getElementById('root'));
      window.show = (task) => root.render(<Shown task={task} />);
      window.hide = () => root.render(<p id="hidden">hidden</p>);`),
    { signedIn: true },
  );
  const id = await host.conduit.create(endless);
  await page.evaluate((task) => window.show(task), id);
  const seen = [];
  const words = new Set();
  await until('the hook shows the way', async () => {
    const [progress, status] = await page.locator('#shown').evaluate((p) => [Number(p.textContent), p.dataset.status]);
    words.add(status);
    if (progress !== (seen.at(-1) ?? 0)) seen.push(progress);
    return seen.length >= 3;
  });
  assert.ok(rises(seen), seen.join(' '));
  assert.ok([...words].some((word) => word !== ''), 'the status has words');
  await page.evaluate(() => window.hide());
  await page.locator('#hidden').waitFor();
  await until('the connection is gone', async () => {
    const health = await (await host.conduit.request('/health/signalr')).json();
    return health.hubs['/hubs/video-generation'].connections === 0;
  });
  await host.conduit.cancel(id);
  // The example stops the connection without waiting for its last call, and does not catch what comes of that.
  assert.deepEqual(page.faults.filter((fault) => !fault.startsWith('Invocation canceled')), []);
  await page.context().close();
});

test('the plain JavaScript example', async () => {
  const page = await pageWith(code('Plain JavaScript Example', 'javascript'));
  await page.evaluate(() => localStorage.setItem('virtualKey', 'your-virtual-key'));
  const id = await host.conduit.create(endless);
  await page.evaluate((task) => trackProgress(task), id);
  const own = () => page.lines.filter((line) => line.startsWith(`Task ${id}: `));
  await until('it moves', () => own().length >= 3);
  await host.conduit.cancel(id);
  const seen = own().map((line) => line.match(/: (\d+)%$/)?.[1]);
  assert.ok(seen.every((n) => n !== undefined), `every line has a number: ${own().join(' | ')}`);
  assert.ok(seen.length >= 3 && rises(seen.map(Number)), seen.join(' '));
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('the health check with curl', async () => {
  const { stdout } = await host.shell(code('Health Checks', 'bash'));
  assert.equal(JSON.parse(stdout).status, 'Healthy');
});

describe('the settings', () => {
  /** leaves are all settings of a file with their paths. */
  const leaves = (object, path = '') =>
    Object.entries(object).flatMap(([name, value]) => (typeof value === 'object' ? leaves(value, `${path}${name}:`) : [[path + name, value]]));

  /** follow watches a task to its end, as any client does. */
  async function follow(conduit) {
    const connection = new HubConnectionBuilder()
      .withUrl(`${conduit.url}/hubs/video-generation`, { accessTokenFactory: () => conduit.key })
      .configureLogging(LogLevel.None).build();
    const end = new Promise((done) => connection.on('Completed', done));
    await connection.start();
    const id = await conduit.create();
    await connection.invoke('SubscribeToTask', id);
    assert.equal((await end).taskId, id);
    await connection.stop();
  }

  /** start runs a server with a block as its file, in a folder where nothing else is. */
  async function assertWorks(name, block, health) {
    const folder = join(scratch, name);
    mkdirSync(folder);
    writeFileSync(join(folder, 'appsettings.json'), block);
    const conduit = await Conduit.start({}, { folder });
    try {
      const { stdout } = await conduit.cli('config');
      for (const [path, value] of leaves(typescript.parseConfigFileTextToJson('appsettings.json', block).config)) {
        const line = stdout.split('\n').find((l) => l.startsWith(`${path} `));
        assert.match(line ?? '', /\(appsettings\.json:\d+\)$/, path);
        assert.equal(line.slice(path.length, line.lastIndexOf('(')).trim(), JSON.stringify(value), path);
      }
      await follow(conduit);
      const told = await (await conduit.request('/health/signalr')).json();
      assert.equal(told.status, health, JSON.stringify(told));
    } finally {
      await conduit.stop();
    }
  }

  const example = code('appsettings.json', 'json');
  const counterpart = code('Redis Backplane (Multi-Instance)', 'json', { added: true });

  test('for the server', () => assertWorks('tuned', code('Server-Side Optimization', 'json'), 'Healthy'));

  test('without the Redis that they name', async () => {
    await assertWorks('example', example, 'Degraded');
    await assertWorks('counterpart', counterpart, 'Degraded');
  });

  test('with that Redis', async () => {
    const redis = spawn('redis-server', ['--port', '6379', '--bind', '127.0.0.1', '-::1', '--save', '', '--dir', scratch], { stdio: 'ignore' });
    const ended = new Promise((done) => redis.once('close', done));
    try {
      await until('Redis answers', () => new Promise((done, bad) => {
        const socket = createConnection(6379, '127.0.0.1', () => socket.write('PING\r\n'));
        socket.on('error', bad).on('data', (answer) => (socket.destroy(), done(`${answer}`.startsWith('+PONG'))));
      }));
      await assertWorks('example-redis', example, 'Degraded'); // there is no backplane yet
      await assertWorks('counterpart-redis', counterpart, 'Degraded');
    } finally {
      redis.kill('SIGKILL');
      await ended;
    }
  });
});

test('the line of Go sends to a group and to nobody else', async () => {
  const file = join(scratch, 'main.go');
  writeFileSync(file, `
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/knnlabs/conduit/signalr"
)

func main() {
	hub := signalr.NewHub("video-generation", signalr.HubOptions{})
	signalr.Handle(hub, "Join", func(ctx context.Context, c *signalr.Conn, taskID string) error {
		return hub.AddToGroup(ctx, c.ID(), "video-"+taskID)
	})
	signalr.Handle(hub, "Report", func(ctx context.Context, taskID string, percentage int) error {
		progressEvent := map[string]any{"taskId": taskID, "percentage": percentage}
		${code('Group Management', 'go', { added: true })}
		return err
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("http://" + l.Addr().String())
	panic(http.Serve(l, hub))
}
`);
  const binary = join(scratch, 'group');
  await promisify(execFile)('go', ['build', '-o', binary, file], { cwd: resolve(import.meta.dirname, '..') });
  const server = spawn(binary, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const url = await new Promise((done) => server.stdout.once('data', (line) => done(`${line}`.trim())));
    const [here, there] = await Promise.all(['a', 'b'].map(async (task) => {
      const connection = new HubConnectionBuilder().withUrl(url).configureLogging(LogLevel.None).build();
      connection.heard = [];
      connection.on('Progress', (event) => connection.heard.push(event));
      await connection.start();
      await connection.invoke('Join', task);
      return connection;
    }));
    await there.invoke('Report', 'a', 7); // sent before the answer
    await there.invoke('Report', 'b', 8);
    await until('both have heard', () => here.heard.length > 0 && there.heard.length > 0);
    assert.deepEqual(here.heard, [{ taskId: 'a', percentage: 7 }]);
    assert.deepEqual(there.heard, [{ taskId: 'b', percentage: 8 }]);
    await Promise.all([here.stop(), there.stop()]);
  } finally {
    server.kill();
  }
});

test('no block was left out but the two in C#, and beside each of those stands what was run', () => {
  assert.deepEqual(left(), ['Redis Backplane (Multi-Instance): csharp', 'Group Management: csharp']);
  for (const [i, block] of blocks.entries()) {
    if (block.language === 'csharp') assert.ok(blocks[i + 1].added && blocks[i + 1].heading === block.heading && blocks[i + 1].run, block.heading);
  }
});
