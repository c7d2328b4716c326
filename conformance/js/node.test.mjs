// The official client in Node: every scenario over every combination.

import { after, before, describe, it } from 'node:test';
import { remote, stopAll } from './remote.mjs';
import { combinations, Context, scenarios } from './scenarios/index.mjs';
import { startServers } from './server.mjs';

let servers, urls;

before(async () => {
  servers = await startServers();
  urls = Object.fromEntries(Object.entries(servers).map(([name, server]) => [name, server.url]));
});

after(async () => {
  await stopAll();
  await Promise.all(Object.values(servers).map((server) => server.stop()));
});

// All beside each other, so that those who wait hold up nobody.
describe('Node', { concurrency: 12 }, () => {
  for (const { name, run } of scenarios) {
    for (const combo of combinations) {
      it(`${combo.name}: ${name}`, { timeout: 60_000 }, async () => {
        const t = new Context(combo, urls, remote);
        try {
          await run(t);
        } finally {
          await t.end();
        }
      });
    }
  }
});
