// Errors: every sentence, with detailed errors and without.

import { same, fails, items } from './check.mjs';
import { signalR } from './context.mjs';
import { wrongType } from './calls.mjs';

const failed = (method) => `Failed to invoke '${method}' due to an error on the server.`;
const threw = (method) => `An unexpected error occurred invoking '${method}' on the server.`;

/** both runs a check on the server with detailed errors and on the one without. */
async function both(t, check) {
  for (const [url, detail] of [[t.urls.main, (text) => ` ${text}`], [t.urls.plain, () => '']]) {
    const c = await t.connect({ url });
    await check(c, detail);
    same(await c.invoke('Echo', 'still here'), 'still here');
  }
}

export const errors = {
  async 'a method that is not there'(t) {
    await both(t, async (c) => {
      await fails(c.invoke('NoSuchMethod'), `${failed('NoSuchMethod')} HubException: Method does not exist.`);
      await fails(c.invoke('NoSuchMethod', 1, 'two', null), `${failed('NoSuchMethod')} HubException: Method does not exist.`);
      await fails(items(c.stream('NoSuchStream')), `${failed('NoSuchStream')} HubException: Method does not exist.`);
    });
  },

  async 'a wrong number of arguments'(t) {
    await both(t, async (c, detail) => {
      for (const [args, count] of [[[1], 1], [[1, 2, 3], 3], [[], 0]]) {
        await fails(c.invoke('Add', ...args), failed('Add') + detail(`InvalidDataException: Invocation provides ${count} argument(s) but target expects 2.`));
      }
    });
  },

  async 'arguments of the wrong type'(t) {
    await both(t, async (c, detail) => {
      const sentence = failed('Add') + detail(wrongType('Add').slice(failed('Add').length + 1));
      await fails(c.invoke('Add', 'a', 'b'), sentence);
      await fails(c.invoke('Add', 1, {}), sentence);
    });
  },

  async 'an error of the method'(t) {
    await both(t, async (c, detail) => {
      await fails(c.invoke('Throw', 'secret'), threw('Throw') + detail('InvalidOperationException: secret'));
    });
  },

  async 'an error that is made for the caller'(t) {
    await both(t, async (c) => {
      await fails(c.invoke('ThrowHub', 'no such task'), `${threw('ThrowHub')} HubException: no such task`);
      await fails(c.invoke('ThrowHub', 'ünïcödé "<>"'), `${threw('ThrowHub')} HubException: ünïcödé "<>"`);
    });
  },

  async 'a stream as a call, a call as a stream'(t) {
    await both(t, async (c) => {
      await fails(c.invoke('Counter', 1, 0), "The client attempted to invoke the streaming 'Counter' method with a non-streaming invocation.");
      await fails(items(c.stream('Echo', 'a')), "The client attempted to invoke the non-streaming 'Echo' method with a streaming invocation.");
    });
  },

  async 'a stream that fails'(t) {
    await both(t, async (c) => {
      const got = [];
      await fails(new Promise((done, bad) => c.stream('FailAfter', 2).subscribe({ next: (n) => got.push(n), complete: done, error: bad })),
        'An error occurred on the server while streaming results. HubException: stream failed');
      same(got, [0, 1]);
    });
  },

  async 'wrong arguments of a stream'(t) {
    await both(t, async (c, detail) => {
      await fails(items(c.stream('Counter', 1)), failed('Counter') + detail('InvalidDataException: Invocation provides 1 argument(s) but target expects 2.'));
      await fails(items(c.stream('Counter', 'x', 0)), failed('Counter') + detail(wrongType('x').slice(failed('x').length + 1)));
    });
  },

  async 'an upload that ends with an error'(t) {
    await both(t, async (c) => {
      const subject = new signalR.Subject();
      const call = c.invoke('Concat', subject);
      subject.next('a');
      subject.error(new Error('up failed'));
      await fails(call, `${threw('Concat')} HubException: up failed`);
    });
  },

  async 'an upload of the wrong type'(t) {
    await both(t, async (c, detail) => {
      const subject = new signalR.Subject();
      const call = c.invoke('Sum', subject);
      subject.next(1);
      subject.next('two');
      await fails(call, `${threw('Sum')} HubException: Failed to bind Stream message.${detail(t.json
        ? 'JsonException: The JSON value could not be converted to System.Int32. Path: $ | LineNumber: 0 | BytePositionInLine: 5.'
        : 'InvalidDataException: Deserializing object of the `Int32` type for \'item\' failed.')}`);
    });
  },

  async 'too few and too many uploads'(t) {
    await both(t, async (c) => {
      await fails(c.invoke('Concat'), `${threw('Concat')} HubException: Client sent 0 stream(s), Hub method expects 1.`);
      await fails(c.invoke('SumTwo', new signalR.Subject()), `${threw('SumTwo')} HubException: Client sent 1 stream(s), Hub method expects 2.`);
    });
  },
};
