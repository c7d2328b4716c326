// The two client examples of docs/guide.md and the one of the README, taken
// from there as they stand.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';
import { launch, open, serve } from './browser.mjs';
import { Conduit, until } from './conduit.mjs';

const guide = readFileSync(join(import.meta.dirname, '../docs/guide.md'), 'utf8');
const signalr = createRequire(import.meta.url).resolve('@microsoft/signalr/dist/browser/signalr.js');

/** block is the code below a heading of the guide. */
function block(heading, language, page = guide) {
  const text = page.slice(page.indexOf(`## ${heading}\n`)).match(new RegExp('```' + language + '\\n([\\s\\S]*?)```'))?.[1];
  assert.ok(text, `${heading} is in the guide`);
  return text;
}

let browser, conduit;
before(async () => {
  [browser, conduit] = await Promise.all([launch(), Conduit.start()]);
});
after(async () => {
  await browser?.close();
  await conduit?.stop();
});

const video = { prompt: 'from the guide', size: '640x360', duration: 6, fps: 30 };
const rises = (numbers) => numbers.every((n, i) => i === 0 || n >= numbers[i - 1]);

test('the plain JavaScript example follows a task', async () => {
  const page = await open(browser);
  await serve(page, conduit.url, {
    '/example': { type: 'text/html', body: '<!doctype html><script src="/signalr.js"></script><script src="/example.js"></script>' },
    '/signalr.js': { type: 'text/javascript', body: readFileSync(signalr, 'utf8') },
    '/example.js': { type: 'text/javascript', body: block('Plain JavaScript Example', 'javascript') },
  });
  const lines = [];
  page.on('console', (message) => message.type() === 'log' && lines.push(message.text()));
  await page.goto(`${conduit.url}/example`);
  await page.evaluate((key) => localStorage.setItem('virtualKey', key), conduit.key);
  const id = await conduit.create(video);
  await page.evaluate((task) => trackProgress(task), id);
  await conduit.ended(id);
  const own = () => lines.filter((line) => line.startsWith(`Task ${id}: `));
  await until('the last points of the way have come', () => own().some((line) => parseInt(line.slice(`Task ${id}: `.length)) >= 90));
  const seen = own().map((line) => line.match(/: (\d+)%$/)?.[1]);
  assert.ok(seen.every((n) => n !== undefined), `every line has a number: ${own().join(' | ')}`);
  assert.ok(rises(seen.map(Number)) && seen.length >= 3, seen.join(' '));
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('the React example follows a task with the cookie of the console', async () => {
  const source = `
    import { useEffect, useState } from 'react';
    import { createRoot } from 'react-dom/client';
    import { HubConnectionBuilder } from '@microsoft/signalr';
    ${block('Video Generation Progress', 'typescript')}
    ${block('React Hook Example', 'typescript')}
    function Shown({ task }: { task: string }) {
      const { progress, status } = useVideoProgress(task);
      return <p id="shown" data-status={status}>{progress}</p>;
    }
    const root = createRoot(document.getElementById('root')!);
    Object.assign(window, {
      show: (task: string) => root.render(<Shown task={task} />),
      hide: () => root.render(<p id="hidden">hidden</p>),
    });`;
  const built = await build({
    stdin: { contents: source, loader: 'tsx', resolveDir: import.meta.dirname },
    bundle: true,
    format: 'iife',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    write: false,
    logLevel: 'error',
  });
  const page = await open(browser);
  await page.goto(conduit.loginLink);
  await page.getByLabel('Prompt').waitFor();
  await serve(page, conduit.url, {
    '/react': { type: 'text/html', body: '<!doctype html><div id="root"></div><script src="/react.js"></script>' },
    '/react.js': { type: 'text/javascript', body: built.outputFiles[0].text },
  });
  await page.goto(`${conduit.url}/react`);
  const id = await conduit.create(video);
  await page.evaluate((task) => window.show(task), id);
  const seen = [];
  await until('the hook shows the way', async () => {
    const shown = await page.locator('#shown').evaluate((p) => [Number(p.textContent), p.dataset.status]);
    if (shown[0] !== seen.at(-1)?.[0]) seen.push(shown);
    return shown[0] >= 90;
  });
  assert.ok(rises(seen.map(([n]) => n)), JSON.stringify(seen));
  assert.ok(seen.some(([, status]) => status !== ''), 'the status has words');
  await page.evaluate(() => window.hide());
  await page.locator('#hidden').waitFor();
  await until('the connection is gone', async () => {
    const health = await (await fetch(`${conduit.url}/health/signalr`)).json();
    return health.hubs['/hubs/video-generation'].connections === 0;
  });
  // The example stops the connection without waiting for its last call, and does not catch what comes of that.
  assert.deepEqual(page.faults.filter((fault) => !fault.startsWith('Invocation canceled')), []);
});

test("the README's example goes on where it stood when the connection was lost", async () => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
  const page = await open(browser);
  await serve(page, conduit.url, {
    '/readme': { type: 'text/html', body: '<!doctype html><script src="/signalr.js"></script>' },
    '/signalr.js': { type: 'text/javascript', body: readFileSync(signalr, 'utf8') },
  });
  const lines = [];
  page.on('console', (message) => message.type() === 'log' && lines.push(message.text()));
  await page.goto(`${conduit.url}/readme`);
  const id = await conduit.create(video);
  const code = `(async (virtualKey, taskId) => {${block('In a page or a program', 'javascript', readme)}})`;
  await page.evaluate(`${code}(${JSON.stringify(conduit.key)}, ${JSON.stringify(id)})`);
  await until('it moves', () => lines.some((line) => /^Progress [1-9]/.test(line)));
  await conduit.kill();
  await conduit.run();
  await until('the end has come', () => lines.some((line) => line.startsWith('Completed ')), { within: 300_000 });
  assert.match(lines.find((line) => line.startsWith('Completed ')), /http:\S+\/v1\/media\//);
  assert.equal(lines.filter((line) => /^(Completed|Failed|Cancelled)/.test(line)).length, 1);
});
