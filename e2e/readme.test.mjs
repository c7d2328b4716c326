// The first page's examples, as they stand.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { launch, open, serve } from './browser.mjs';
import { Conduit, endless, short, until } from './conduit.mjs';

const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
const signalr = createRequire(import.meta.url).resolve('@microsoft/signalr/dist/browser/signalr.js');

/** blocks are the blocks of code below a heading. */
function blocks(heading, language) {
  const [, section] = readme.split(`## ${heading}\n`);
  const found = [...section.split('\n## ')[0].matchAll(new RegExp('```' + language + '\\n([\\s\\S]*?)```', 'g'))];
  assert.ok(found.length > 0, `${heading} has ${language}`);
  return found.map(([, code]) => code);
}

let browser, conduit;
before(async () => {
  [browser, conduit] = await Promise.all([launch(), Conduit.start()]);
});
after(async () => {
  await browser?.close();
  await conduit?.stop();
});

test('with curl', async () => {
  // The way to the usual address leads to this server.
  writeFileSync(join(conduit.folder, '.curlrc'), `connect-to = "127.0.0.1:5000:127.0.0.1:${conduit.port}"\nmax-time = 120\n`);
  const shell = async (lines) => (await promisify(execFile)('bash', ['-euc', lines], { env: { ...process.env, CURL_HOME: conduit.folder } })).stdout;
  const [create, look] = blocks('With curl', 'bash').map((code) => code.replace('condt_...', conduit.key));
  const made = JSON.parse(await shell(create));
  assert.match(made.check_status_url, /^http:\/\/127\.0\.0\.1:5000\//);
  assert.match(made.events_url, /^http:\/\/127\.0\.0\.1:5000\//);
  const told = await shell(`KEY=${conduit.key}\n${look.replaceAll('TASK_ID', made.task_id)}`);
  assert.match(told, /^event: ?Completed$/m);
  const task = JSON.parse(told.slice(told.lastIndexOf('\n{')));
  assert.equal(task.status, 'completed');
  assert.match(task.result.data[0].url, /^http:\/\/127\.0\.0\.1:5000\/v1\/media\//);
});

test('the example for a page goes on where it stood when the connection was lost', async () => {
  const page = await open(browser);
  await serve(page, conduit.url, {
    '/readme': { type: 'text/html', body: '<!doctype html><script src="/signalr.js"></script>' },
    '/signalr.js': { type: 'text/javascript', body: readFileSync(signalr, 'utf8') },
  });
  const lines = [];
  page.on('console', (message) => message.type() === 'log' && lines.push(message.text()));
  await page.goto(`${conduit.url}/readme`);
  const [code] = blocks('In a page or a program', 'javascript');
  const follow = (id) => page.evaluate(`(async (virtualKey, taskId) => {${code}})(${JSON.stringify(conduit.key)}, ${JSON.stringify(id)})`);
  const moved = () => lines.filter((line) => /^Progress [1-9]/.test(line)).length;
  const ends = () => lines.filter((line) => /^(Completed|Failed|Cancelled)/.test(line));

  const id = await conduit.create(endless);
  await follow(id);
  await until('it moves', () => moved() > 0);
  await conduit.kill();
  const before = moved();
  await conduit.run();
  await until('it moves on', () => moved() > before);
  await conduit.cancel(id);
  await until('the end has come', () => ends().length > 0);

  await follow(await conduit.create(short));
  await until('the video has come', () => ends().length > 1);
  assert.match(ends()[0], /^Cancelled /);
  assert.match(ends()[1], /^Completed +http:\S+\/v1\/media\//);
  assert.equal(ends().length, 2);
});
