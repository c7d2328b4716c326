// The command line, with and without a terminal.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Conduit, long, until } from './conduit.mjs';

let conduit;
before(async () => (conduit = await Conduit.start()));
after(() => conduit?.stop());

test('in a terminal a bar moves, and the link comes last', async () => {
  const command = `'${conduit.binary}' generate video 'a paper boat' --watch`;
  const shown = await new Promise((done, bad) =>
    execFile('script', ['--quiet', '--return', '--command', command, '/dev/null'], { cwd: conduit.folder, env: { ...conduit.env, TERM: 'xterm', COLUMNS: '100' }, timeout: 300_000 },
      (error, stdout) => (error ? bad(new Error(stdout, { cause: error })) : done(stdout))),
  );
  const percents = [...shown.matchAll(/(\d+) ?%/g)].map((m) => +m[1]);
  assert.ok(percents.length >= 3 && percents.every((p, i) => i === 0 || p >= percents[i - 1]), shown);
  assert.match(shown, /\r|\x1b\[/, 'the bar is drawn over itself');
  const link = shown.match(/http:\/\/\S+\/v1\/media\/[^\s\x1b]+/)?.[0];
  assert.ok(link, shown);
  assert.equal((await fetch(link)).status, 200);
});

test('without one it writes lines, and only the result to standard output', async () => {
  const { code, stdout, stderr } = await conduit.cli('generate', 'video', 'a paper boat', '--size', '320x180', '--duration', '2', '--watch');
  assert.equal(code, 0, stderr);
  assert.ok(!/[\r\x1b]/.test(stdout + stderr));
  assert.equal((await fetch(stdout.match(/http:\/\/\S+\/v1\/media\/\S+/)?.[0])).status, 200);
});

test('without --watch it gives the task, which `watch` follows', async () => {
  const made = await conduit.cli('generate', 'video', 'later', '--size', '320x180', '--duration', '2');
  assert.equal(made.code, 0, made.stderr);
  const id = made.stdout.match(/task_[0-9a-f]{32}/)?.[0];
  assert.ok(id, made.stdout);
  const watched = await conduit.cli('watch', id);
  assert.equal(watched.code, 0, watched.stderr);
  assert.match(watched.stdout, /\/v1\/media\//);
  const tasks = await conduit.cli('tasks');
  assert.equal(tasks.code, 0, tasks.stderr);
  assert.ok(tasks.stdout.includes(id), tasks.stdout);
});

test('what goes wrong is said, and the exit status tells', async () => {
  for (const args of [['generate', 'video', ''], ['generate', 'video', 'x', '--size', '641x361'], ['watch', `task_${'0'.repeat(32)}`], ['nonsense']]) {
    const { code, stderr } = await conduit.cli(...args);
    assert.notEqual(code, 0, args.join(' '));
    assert.ok(stderr.length > 0, args.join(' '));
  }
});

test('keys are made, listed and revoked while the server runs', async () => {
  const { key } = await conduit.newKey('--name', 'for-a-friend', '--scopes', 'video');
  assert.equal((await conduit.request('/v1/models', { key })).status, 200);
  const list = await conduit.cli('keys', 'list');
  assert.ok(list.stdout.includes('for-a-friend') && !list.stdout.includes(key), list.stdout);
  assert.equal((await conduit.cli('keys', 'revoke', 'for-a-friend')).code, 0);
  await until('it is known', async () => (await conduit.request('/v1/models', { key })).status === 401);
});

test('the settings in force are printed without secrets', async () => {
  const { code, stdout } = await conduit.cli('config');
  assert.equal(code, 0);
  assert.match(stdout, /KeepAliveInterval/);
  assert.ok(!stdout.includes(conduit.key));
});

test('an impossible setting stops the start with its name, its value and what is allowed', async () => {
  const bad = { ...conduit.env, SignalR__KeepAliveInterval: 'often', DataFolder: join(conduit.folder, 'never') };
  const how = await new Promise((done) =>
    execFile(conduit.binary, ['serve'], { env: bad, timeout: 60_000 }, (error, stdout, stderr) => done({ code: error?.code, text: stdout + stderr })),
  );
  assert.notEqual(how.code, 0);
  assert.match(how.text, /KeepAliveInterval/);
  assert.match(how.text, /often/);
});

test('a second server on the same data folder is refused', async () => {
  const env = { ...conduit.env, Urls: 'http://127.0.0.1:0' };
  const how = await new Promise((done) =>
    execFile(conduit.binary, ['serve'], { cwd: conduit.folder, env, timeout: 60_000 }, (error, stdout, stderr) => done({ code: error?.code, text: stdout + stderr })),
  );
  assert.equal(how.code, 1, how.text);
  assert.match(how.text, /data folder .* is in use by another Conduit .*--data/);
  assert.equal((await conduit.ended(await conduit.create())).status, 'completed');
});

test('a full disk fails the task with its reason, and the next one works when there is room', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'conduit-small-'));
  // A small disk that only the server sees; who is not root is it in a name space of its own.
  const unshare = ['unshare', '--mount', ...(process.getuid() === 0 ? [] : ['--map-root-user'])];
  const within = [...unshare, 'sh', '-ec', 'mount -t tmpfs -o size=8m tmpfs "$0"; exec "$@"', folder];
  const full = await Conduit.start({}, { folder, within });
  try {
    const small = `/proc/${full.pid}/root${folder}`;
    const { bavail, bsize } = statfsSync(small);
    const ballast = join(small, 'ballast');
    writeFileSync(ballast, Buffer.alloc(bavail * bsize - 1_500_000));
    const id = await full.create({ ...long, size: '640x360', duration: 60, fps: 60 });
    const task = await full.ended(id);
    assert.equal(task.status, 'failed');
    assert.equal(task.error_detail.code, 'storage_full');
    assert.match(task.error, /disk is full/);
    rmSync(ballast);
    assert.equal((await full.ended(await full.create())).status, 'completed');
  } finally {
    await full.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
