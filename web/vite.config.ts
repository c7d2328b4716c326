import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

// files lists what the built form is made from, relative to this folder.
function files(folder = ''): string[] {
  return readdirSync(join(import.meta.dirname, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder ? `${folder}/${entry.name}` : entry.name;
    if (entry.name === 'node_modules') return [];
    return entry.isDirectory() ? files(path) : [path];
  });
}

// record writes sources.json beside the built page: the SHA-256 of each source
// file. A Go test compares it with the sources, so that a stale build is found
// without npm.
function record(): Plugin {
  return {
    name: 'record-sources',
    generateBundle() {
      const hashes = Object.fromEntries(
        files()
          .sort()
          .map((path) => [path, createHash('sha256').update(readFileSync(join(import.meta.dirname, path))).digest('hex')]),
      );
      this.emitFile({ type: 'asset', fileName: 'sources.json', source: JSON.stringify(hashes, null, 1) + '\n' });
    },
  };
}

const conduit = process.env.CONDUIT_URL ?? 'http://127.0.0.1:5000';
const proxy = { target: conduit, ws: true, changeOrigin: true, headers: { origin: conduit } };

// The SDK is taken from its sources, so that the page is never built on an old
// form of it; what it imports comes from this folder, and its React is Preact.
const sdk = (file: string) => join(import.meta.dirname, '../sdk/typescript/src', file);

export default defineConfig({
  base: './', // so that the page also works below a proxy's prefix
  resolve: {
    alias: [
      { find: /^@knn_labs\/conduit-core-client$/, replacement: sdk('index.ts') },
      { find: /^@knn_labs\/conduit-core-client\/react$/, replacement: sdk('react.ts') },
      { find: /^react$/, replacement: 'preact/compat' },
    ],
    dedupe: ['@microsoft/signalr', 'preact'],
  },
  plugins: [record()],
  build: {
    outDir: '../internal/console/dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // the page's Content-Security-Policy allows no data: URLs
    modulePreload: false,
    reportCompressedSize: false,
    rolldownOptions: {
      // The SDK's hooks say "use client", which means nothing to a page without a server's part.
      onLog: (level, log, handle) => void (log.code === 'MODULE_LEVEL_DIRECTIVE' || handle(level, log)),
    },
  },
  // `npm run dev` serves the page and hands the rest to a running Conduit.
  server: { proxy: { '/v1': proxy, '/hubs': proxy, '/console': proxy } },
});
