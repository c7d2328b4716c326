// Checks that run in Node and in a page alike.

/** same fails unless both values are equal, deeply; a Date equals a Date of the same time. */
export function same(actual, expected, what = 'value') {
  const left = show(actual), right = show(expected);
  if (left !== right) throw new Error(`${what}: got ${left}, want ${right}`);
}

export function ok(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

/** show writes a value as JSON with sorted keys, and what JSON has not by name. */
function show(value) {
  return JSON.stringify(value, (_, v) => {
    if (v === undefined) return '(undefined)';
    if (typeof v === 'number' && !Number.isFinite(v)) return `(${v})`;
    if (v && typeof v === 'object' && !Array.isArray(v)) {
      return Object.fromEntries(Object.keys(v).sort().map((key) => [key, v[key]]));
    }
    return v;
  }) ?? '(undefined)';
}

/** fails resolves with the message of the error that a promise is rejected with. */
export async function fails(promise, expected) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    const message = error?.message ?? String(error);
    if (expected instanceof RegExp ? !expected.test(message) : expected !== undefined && message !== expected) {
      throw new Error(`failed with ${JSON.stringify(message)}, want ${expected}`);
    }
    return message;
  }
  throw new Error(`succeeded with ${show(value)}, want the error ${expected}`);
}

/** deferred is a promise with its ends outside. */
export function deferred() {
  const d = {};
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }));
  return d;
}

/** items collects a stream; resolves at its end, rejects with its error. */
export function items(stream) {
  return new Promise((done, failed) => {
    const all = [];
    stream.subscribe({ next: (item) => all.push(item), complete: () => done(all), error: failed });
  });
}
