// The package as users get it: packed, checked, and installed into empty
// projects of every kind.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { event, FakeHub } from './fakehub.mjs';
import { blocks } from './readme.mjs';

const here = resolve(import.meta.dirname, '..');
const bin = (name) => join(here, 'node_modules', '.bin', name);
const folder = mkdtempSync(join(tmpdir(), 'conduit-sdk-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** run runs a program to its end and gives what it wrote. */
function run(command, args, cwd, env = {}) {
  return new Promise((done, failed) =>
    execFile(command, args, { cwd, env: { ...process.env, ...env }, maxBuffer: 2 ** 26 }, (error, stdout, stderr) =>
      error ? failed(new Error(`${command} ${args.join(' ')}: ${error.message}\n${stdout}\n${stderr}`)) : done(stdout)),
  );
}

let tarball;
before(async () => {
  // Built already; what is packed is what was tested.
  const [packed] = JSON.parse(await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], here));
  tarball = join(folder, packed.filename);
  const unpacked = join(folder, 'unpacked');
  mkdirSync(unpacked);
  await run('tar', ['xzf', tarball, '-C', unpacked], folder);
});

/**
 * project makes an empty project with the packed form installed. Its
 * dependencies are those of this folder, so that nothing is asked of a registry.
 */
function project(name, files, type = 'module') {
  const path = join(folder, name);
  const scope = join(path, 'node_modules', '@knn_labs');
  mkdirSync(scope, { recursive: true });
  for (const entry of readdirSync(join(here, 'node_modules'))) {
    if (!entry.startsWith('.')) symlinkSync(join(here, 'node_modules', entry), join(path, 'node_modules', entry));
  }
  // A copy, not a link: a link would be resolved to where the sources are.
  cpSync(join(folder, 'unpacked', 'package'), join(scope, 'conduit-core-client'), { recursive: true });
  writeFileSync(join(path, 'package.json'), JSON.stringify({ name, private: true, type }));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
}

test('what is packed', async () => {
  const files = (await run('tar', ['tzf', tarball], folder)).split('\n');
  for (const file of ['README.md', 'LICENSE', 'dist/esm/index.js', 'dist/esm/react.d.ts', 'dist/cjs/index.js', 'dist/cjs/package.json', 'src/index.ts']) {
    assert.ok(files.includes(`package/${file}`), file);
  }
  assert.ok(!files.some((file) => /test|node_modules|tsconfig/.test(file)));
  const { dependencies, peerDependenciesMeta } = JSON.parse(readFileSync(join(folder, 'unpacked/package/package.json'), 'utf8'));
  assert.deepEqual(Object.keys(dependencies), ['@microsoft/signalr']);
  assert.equal(peerDependenciesMeta.react.optional, true);
});

test('publint finds nothing', async () => {
  const out = await run(bin('publint'), [tarball, '--strict'], folder);
  assert.match(out, /All good/);
});

test('are the types wrong? no', async () => {
  const out = await run(bin('attw'), [tarball, '--format', 'json'], folder);
  assert.deepEqual(JSON.parse(out).problems ?? {}, {});
});

const program = `
import { ConduitCoreClient, TaskFailedError, type VideoEvent, type VideoGenerationProgress } from '@knn_labs/conduit-core-client';
import { useVideoProgress } from '@knn_labs/conduit-core-client/react';

const client = new ConduitCoreClient({ apiKey: 'k', baseURL: process.env.HUB!, signalR: { transports: ['webSockets'], logLevel: 'None' } });
const progress: number[] = [];
const watch = client.videos.watch('task_a', { onProgress: (event: VideoGenerationProgress) => progress.push(event.progress) });
for await (const event of watch) {
  const at: Date = event.timestamp;
  if (event.eventType === 'VideoGenerationCompleted') console.log(event.videoUrl, progress.join(), at.toISOString());
  // @ts-expect-error: only a Completed has a video
  else event.videoUrl;
}
const shown: { progress: number; status: string } | undefined = undefined as ReturnType<typeof useVideoProgress> | undefined;
const failed = (e: unknown) => e instanceof TaskFailedError && e.errorCode;
const all: VideoEvent[] = [];
void [shown, failed, all];
// @ts-expect-error: no such option
const refused = () => new ConduitCoreClient({ apiKey: 'k', signalr: {} });
void refused;
`;

const declare = 'declare const process: { env: Record<string, string | undefined> }; declare const console: { log(...a: unknown[]): void };\n';
const options = (more) => JSON.stringify({ compilerOptions: { target: 'ES2022', lib: ['ES2022', 'DOM'], strict: true, exactOptionalPropertyTypes: true, types: [], skipLibCheck: true, outDir: 'out', ...more }, include: ['*.ts', '*.mts'] });

describe('installed into an empty project', () => {
  let hub;
  before(async () => {
    hub = await FakeHub.start();
    hub.subscribed = (connection, taskId) => {
      connection.event('Progress', event('Progress', taskId, 1, { progress: 7 }));
      connection.event('Completed', event('Completed', taskId, 2, { videoUrl: 'http://video', duration: 1, metadata: {} }));
      return { taskId };
    };
  });
  after(() => hub.stop());
  const want = 'http://video 7 2026-11-22T10:00:00.123Z\n';

  test('of npm itself', async () => {
    const path = join(folder, 'npm');
    mkdirSync(path);
    writeFileSync(join(path, 'package.json'), '{"private":true}');
    await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball], path);
    assert.ok(!existsSync(join(path, 'node_modules/react')), 'React is optional');
    assert.equal(await run('node', ['-e', "console.log(typeof require('@knn_labs/conduit-core-client').ConduitCoreClient)"], path), 'function\n');
  });

  for (const [name, module, moduleResolution] of [['node16', 'node16', 'node16'], ['bundler', 'esnext', 'bundler']]) {
    test(`of TypeScript with ${name} resolution`, async () => {
      const path = project(name, { 'main.ts': declare + program, 'tsconfig.json': options({ module, moduleResolution }) });
      await run(bin('tsc'), ['-p', '.'], path);
      assert.equal(await run('node', ['out/main.js'], path, { HUB: hub.url }), want);
    });
  }

  test('of TypeScript that makes CommonJS', async () => {
    const wrapped = program.replace(/^(const client[\s\S]*)$/m, '(async () => {$1})();');
    const path = project('ts-cjs', { 'main.ts': declare + wrapped, 'tsconfig.json': options({ module: 'node16', moduleResolution: 'node16', skipLibCheck: false }) }, 'commonjs');
    await run(bin('tsc'), ['-p', '.'], path);
    assert.equal(await run('node', ['out/main.js'], path, { HUB: hub.url }), want);
  });

  test("of TypeScript with React and the README's code", async () => {
    const files = Object.fromEntries(blocks().map(({ language, code }, i) => [`block${i}.${language}`, code]));
    const path = project('readme', {
      ...files,
      'tsconfig.json': JSON.stringify({
        compilerOptions: { target: 'ES2022', lib: ['ES2022', 'DOM'], strict: true, types: ['node'], jsx: 'react-jsx', module: 'esnext', moduleResolution: 'bundler', skipLibCheck: true, noEmit: true },
      }),
    });
    await run(bin('tsc'), ['-p', '.'], path);
  });

  test('of plain CommonJS', async () => {
    const path = project('cjs', {
      'main.js': `
        const { ConduitCoreClient } = require('@knn_labs/conduit-core-client');
        const { useVideoProgress } = require('@knn_labs/conduit-core-client/react');
        const client = new ConduitCoreClient({ apiKey: 'k', baseURL: process.env.HUB, signalR: { transports: ['webSockets'], logLevel: 'None' } });
        client.videos.watch('task_a').done.then((end) => console.log(end.videoUrl, typeof useVideoProgress));`,
    }, 'commonjs');
    assert.equal(await run('node', ['main.js'], path, { HUB: hub.url }), 'http://video function\n');
  });

  test('of Vite, where only what is used is taken', async () => {
    const path = project('vite', {
      'index.html': '<!doctype html><script type="module" src="/main.js"></script>',
      'main.js': "import { ConduitCoreClient } from '@knn_labs/conduit-core-client'; document.title = String(new ConduitCoreClient());",
      'only.js': "import { TaskFailedError } from '@knn_labs/conduit-core-client'; document.title = String(TaskFailedError);",
      'only.html': '<!doctype html><script type="module" src="/only.js"></script>',
    });
    const sizes = {};
    for (const page of ['index', 'only']) {
      writeFileSync(join(path, 'vite.config.js'), `export default { logLevel: 'warn', build: { outDir: 'dist-${page}', rollupOptions: { input: '${page}.html' } } };`);
      await run(bin('vite'), ['build'], path);
      const assets = join(path, `dist-${page}`, 'assets');
      const js = Buffer.concat(readdirSync(assets).filter((f) => f.endsWith('.js')).map((f) => readFileSync(join(assets, f))));
      sizes[page] = [js.length, gzipSync(js).length];
    }
    console.log(`bytes of a page with the client: ${sizes.index.join(', gzipped ')}; with an error class only: ${sizes.only.join(', gzipped ')}`);
    assert.ok(sizes.only[0] < 5000, `${sizes.only}`);
  });
});
