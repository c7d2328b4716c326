// What scenarios need besides a client: proxies and servers of their own. In
// Node it is called, from a page it is called through a binding; hence ids.

import { Proxy } from './proxy.mjs';
import { Server } from './server.mjs';

const things = new Map();
let last = 0;

const keep = (thing) => {
  const id = ++last;
  things.set(id, thing);
  return { id, url: thing.url };
};

/** stopAll ends what scenarios that failed have left. */
export async function stopAll() {
  const left = [...things.values()];
  things.clear();
  await Promise.all(left.map((thing) => thing.stop()));
}

export async function remote(name, ...args) {
  if (name === 'proxy') return keep(await Proxy.start(args[0]));
  if (name === 'server') return keep(await Server.start(args[0] ?? {}));
  const [id, ...rest] = args;
  const thing = things.get(id);
  if (name === 'requests') return thing.requests;
  if (name === 'stop') things.delete(id);
  await thing[name](...rest);
}
