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

for (const combo of combinations) {
  describe(`Node, ${combo.name}`, { concurrency: 12 }, () => {
    for (const { name, run } of scenarios) {
      it(name, { timeout: 60_000 }, async () => {
        const t = new Context(combo, urls, remote);
        try {
          await run(t);
        } finally {
          await t.end();
        }
      });
    }
  });
}
