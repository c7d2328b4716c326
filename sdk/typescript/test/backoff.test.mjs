// The delays between attempts, by a clock that the test moves. In a file of its
// own, and without a network: Node's own HTTP does not bear such a clock.

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { ConduitCoreClient } from '@knn_labs/conduit-core-client';
import { quiet } from './fakehub.mjs';

for (const [backoff, delays] of [['exponential', [5000, 10_000, 20_000, 30_000]], ['constant', [5000, 5000, 5000, 5000]]]) {
  test(`the delays between attempts, ${backoff}`, async () => {
    const turns = async (n) => {
      for (let i = 0; i < n; i++) await new Promise((done) => setImmediate(done));
    };
    const until = async (what, condition) => {
      for (let i = 0; !condition(); i++) {
        assert.ok(i < 1_000_000, what);
        await turns(1);
      }
    };
    let negotiations = 0;
    // Not over the network: what Node does there has timers of its own.
    mock.method(globalThis, 'fetch', async () => (negotiations++, new Response('', { status: 503 })));
    mock.timers.enable({ apis: ['setTimeout'] });
    mock.method(Math, 'random', () => 0);
    try {
      const lost = [];
      const c = new ConduitCoreClient({
        apiKey: 'k', baseURL: 'http://gw.example', logger: quiet,
        signalR: { reconnectInterval: 5000, reconnectAttempts: 4, reconnectBackoff: backoff },
      });
      c.onConnectionChange(({ error }) => error && lost.push(error));
      const watch = c.videos.watch('task_a');
      for (const [i, delay] of delays.entries()) {
        await until('the refusal is understood', () => lost.length > i);
        await turns(5); // the delay has begun
        mock.timers.tick(delay - 1);
        await turns(20);
        assert.equal(negotiations, i + 1, `not before ${delay} ms`);
        mock.timers.tick(1);
        await until('the next attempt', () => negotiations === i + 2);
      }
      await assert.rejects(watch.done, /tried again 4 times/);
    } finally {
      mock.timers.reset();
      mock.restoreAll();
    }
  });
}
