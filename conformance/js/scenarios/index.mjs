// The table: every scenario is run with every combination of transport and
// protocol, in Node and in Chromium.

import { auth } from './auth.mjs';
import { calls } from './calls.mjs';
import { errors } from './errors.mjs';
import { life } from './life.mjs';
import { reconnect } from './reconnect.mjs';
import { results } from './results.mjs';
import { sending } from './sending.mjs';
import { streams } from './streams.mjs';

export { combinations, Context } from './context.mjs';

// Those with time to wait for come first: what follows runs meanwhile.
const table = { life, auth, reconnect, streams, calls, errors, sending, results };

/** all scenarios: { name, run(context) }. */
export const scenarios = Object.entries(table).flatMap(([part, list]) =>
  Object.entries(list).map(([name, run]) => ({ name: `${part}: ${name}`, run })));
