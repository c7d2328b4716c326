// The package as users get it: packed, checked, and installed into empty
// projects of every kind.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
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
    execFile(command, args, { cwd, env: { ...process.env, ...env }, maxBuffer: 2 ** 26, timeout: 300_000 }, (error, stdout, stderr) =>
      error ? failed(new Error(`${command} ${args.join(' ')}: ${error.message}\n${stdout}\n${stderr}`)) : done(stdout)),
  );
}

let tarball, installed; // installed is where npm itself installed the tarball
before(async () => {
  // Built already; what is packed is what was tested.
  const [packed] = JSON.parse(await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], here));
  tarball = join(folder, packed.filename);
  installed = install('npm', tarball);
});

/** install has npm install packages into an empty project. */
async function install(name, ...packages) {
  const path = join(folder, name);
  mkdirSync(path);
  writeFileSync(join(path, 'package.json'), '{"private":true}');
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...packages], path);
  return path;
}

/** project makes an empty project with what npm installed there, and with some of the packages of this folder. */
async function project(name, { type = 'module', files = {}, packages = [] }) {
  const path = join(folder, name);
  cpSync(join(await installed, 'node_modules'), join(path, 'node_modules'), { recursive: true });
  for (const one of packages) {
    mkdirSync(dirname(join(path, 'node_modules', one)), { recursive: true });
    symlinkSync(join(here, 'node_modules', one), join(path, 'node_modules', one));
  }
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
  const { dependencies, peerDependenciesMeta } = JSON.parse(readFileSync(join(await installed, 'node_modules/@knn_labs/conduit-core-client/package.json'), 'utf8'));
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
const options = (more) => JSON.stringify({ compilerOptions: { target: 'ES2022', lib: ['ES2022', 'DOM'], strict: true, exactOptionalPropertyTypes: true, types: [], skipLibCheck: true, outDir: 'out', ...more }, include: ['*.ts', '*.tsx', '*.mts'] });
const node16 = { module: 'node16', moduleResolution: 'node16' };
const bundler = { module: 'esnext', moduleResolution: 'bundler' };
const react = ['react', '@types/react', 'csstype'];
const readme = () => Object.fromEntries(blocks().map(({ language, code }, i) => [`block${i}.${language}`, code]));

/** What TypeScript compiles, by the project's name. */
const compiled = {
  node16: { files: { 'main.ts': declare + program, 'tsconfig.json': options(node16) }, packages: react },
  bundler: { files: { 'main.ts': declare + program, 'tsconfig.json': options(bundler) }, packages: react },
  'ts-cjs': {
    type: 'commonjs', packages: react,
    files: { 'main.ts': declare + program.replace(/^(const client[\s\S]*)$/m, '(async () => {$1})();'), 'tsconfig.json': options({ ...node16, skipLibCheck: false, skipDefaultLibCheck: true }) },
  },
  readme: {
    packages: [...react, 'react-dom', 'scheduler', 'happy-dom', '@types/node', 'undici-types'],
    files: { ...readme(), 'tsconfig.json': options({ ...bundler, types: ['node'], jsx: 'react-jsx', exactOptionalPropertyTypes: false }) },
  },
};

describe('installed into an empty project', () => {
  let hub, compiling;
  before(async () => {
    hub = await FakeHub.start();
    hub.subscribed = (connection, taskId) => {
      connection.event('Progress', event('Progress', taskId, 1, { progress: 7 }));
      connection.event('Completed', event('Completed', taskId, 2, { videoUrl: 'http://video', duration: 1, metadata: {} }));
      return { taskId };
    };
    const paths = await Promise.all(Object.entries(compiled).map(([name, what]) => project(name, what)));
    // All in one process, which reads the libraries once.
    compiling = run(bin('tsc'), ['-b', ...paths], folder);
    compiling.catch(() => {}); // told by each test
  });
  after(() => hub.stop());
  const want = 'http://video 7 2026-11-22T10:00:00.123Z\n';

  /** built is where TypeScript compiled a project. */
  async function built(name) {
    await compiling;
    return join(folder, name);
  }

  test('of npm itself', async () => {
    const path = await installed;
    assert.ok(!existsSync(join(path, 'node_modules/react')), 'React is optional');
    assert.equal(await run('node', ['-e', "console.log(typeof require('@knn_labs/conduit-core-client').ConduitCoreClient)"], path), 'function\n');
  });

  for (const [name, what] of [['node16', 'with node16 resolution'], ['bundler', 'with bundler resolution'], ['ts-cjs', 'that makes CommonJS']]) {
    test(`of TypeScript ${what}`, async () => {
      assert.equal(await run('node', ['out/main.js'], await built(name), { HUB: hub.url }), want);
    });
  }

  test("of TypeScript with React: the README's code, and its component shown", async () => {
    const path = await built('readme');
    const block = blocks().findIndex(({ language }) => language === 'tsx');
    writeFileSync(join(path, 'shown.mjs'), `
      import { Window } from 'happy-dom';
      const window = new Window();
      for (const [name, value] of Object.entries({ window, document: window.document, navigator: globalThis.navigator ?? window.navigator, location: { origin: process.env.HUB } })) {
        Object.defineProperty(globalThis, name, { value, configurable: true });
      }
      const { createElement, StrictMode } = await import('react');
      const { createRoot } = await import('react-dom/client');
      const { App } = await import('./out/block${block}.js');
      const place = document.createElement('div');
      createRoot(place).render(createElement(StrictMode, null, createElement(App, { taskId: 'task_a' })));
      while (!place.querySelector('video')) await new Promise((done) => setTimeout(done, 5));
      console.log(place.innerHTML);
      process.exit(0);`);
    assert.match(await run('node', ['shown.mjs'], path, { HUB: hub.url }), /^<video .*src="http:\/\/video"/m);
  });

  test('of plain CommonJS', async () => {
    const path = await project('cjs', {
      type: 'commonjs', packages: ['react'],
      files: {
        'main.js': `
        const { ConduitCoreClient } = require('@knn_labs/conduit-core-client');
        const { useVideoProgress } = require('@knn_labs/conduit-core-client/react');
        const client = new ConduitCoreClient({ apiKey: 'k', baseURL: process.env.HUB, signalR: { transports: ['webSockets'], logLevel: 'None' } });
        client.videos.watch('task_a').done.then((end) => console.log(end.videoUrl, typeof useVideoProgress));`,
      },
    });
    assert.equal(await run('node', ['main.js'], path, { HUB: hub.url }), 'http://video function\n');
  });

  test('of Vite, where only what is used is taken', async () => {
    const page = (code) => `<!doctype html><script type="module">${code}</script>`;
    const pages = {
      client: "import { ConduitCoreClient } from '@knn_labs/conduit-core-client'; document.title = String(new ConduitCoreClient());",
      error: "import { TaskFailedError } from '@knn_labs/conduit-core-client'; document.title = String(TaskFailedError);",
      official: "import { HubConnectionBuilder, DefaultHttpClient } from '@microsoft/signalr'; document.title = String([HubConnectionBuilder, DefaultHttpClient]);",
    };
    const path = await project('vite', { files: Object.fromEntries(Object.entries(pages).map(([name, code]) => [`${name}.html`, page(code)])) });
    const sizes = {};
    for (const name of Object.keys(pages)) {
      writeFileSync(join(path, 'vite.config.js'), `export default { logLevel: 'warn', build: { outDir: 'dist-${name}', modulePreload: false, rollupOptions: { input: '${name}.html' } } };`);
      await run(bin('vite'), ['build'], path);
      const assets = join(path, `dist-${name}`, 'assets');
      const js = Buffer.concat(readdirSync(assets).filter((f) => f.endsWith('.js')).map((f) => readFileSync(join(assets, f))));
      sizes[name] = [js.length, gzipSync(js).length];
    }
    console.log(`bytes of a page, and gzipped: ${Object.entries(sizes).map(([name, [all, gzipped]]) => `${name} ${all} ${gzipped}`).join(', ')}`);
    assert.ok(sizes.error[0] < 5000, `${sizes.error}`);
  });
});

test('the hooks with React 18', async () => {
  const path = await install('react18', 'react@18.3.1', 'react-dom@18.3.1');
  // As if this folder had them: what is imported as React is theirs.
  writeFileSync(join(path, 'hooks.mjs'), `
    export const resolve = (specifier, context, next) =>
      next(specifier, /^react(-dom)?($|\\/)/.test(specifier) ? { ...context, parentURL: import.meta.url } : context);`);
  writeFileSync(join(path, 'register.mjs'), "import { register } from 'node:module'; register('./hooks.mjs', import.meta.url);");
  const out = await run('node', ['--import', join(path, 'register.mjs'), join(here, 'test/react.test.mjs')], here, { NODE_TEST_CONTEXT: undefined, REACT: '18.' });
  assert.match(out, /# fail 0|fail 0/);
});
