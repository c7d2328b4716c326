// What runs in a page: the scenarios, by name.

import { combinations, Context, scenarios } from './scenarios/index.mjs';

/** run plays a scenario; servers: their addresses by name. */
window.run = async (scenario, combination, servers) => {
  const combo = combinations.find((c) => c.name === combination);
  const t = new Context(combo, servers, (...args) => window.remote(args));
  try {
    await scenarios.find((s) => s.name === scenario).run(t);
  } finally {
    await t.end();
  }
};
