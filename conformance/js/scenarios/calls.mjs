// Calls: what goes up and comes back.

import { same, ok, fails, items } from './check.mjs';
import { signalR } from './context.mjs';

export const calls = {
  async 'a string comes back'(t) {
    const c = await t.connect();
    same(await c.invoke('Echo', 'hello'), 'hello');
    same(await c.invoke('Echo', ''), '');
  },

  async 'null stays null'(t) {
    const c = await t.connect();
    same(await c.invoke('Echo', null), null);
    same(await c.invoke('EchoObject', null), null);
  },

  async 'every kind of character'(t) {
    const c = await t.connect();
    for (const text of [
      '你好 <b>&amp;</b> "quoted" \\ / \'', 'עברית ١٢٣', '👩‍👩‍👧‍👦 🇩🇪', 'e\u0301 \u200b\u202e\ufeff', '\u0000\u0001\u001e\u001f\u007f\u0080',
      'line\nline\r\nline\u2028\u2029', '\ud83d\ude00\uffff\ufffd', ' '.repeat(100),
    ]) same(await c.invoke('Echo', text), text);
  },

  async 'half a character pair'(t) {
    const c = await t.connect();
    const call = c.invoke('Echo', 'a\ud800b');
    if (t.json) await fails(call, wrongType('Echo'));
    else ok(/^a\ufffd+b$/.test(await call), 'what is no text is replaced, by the client or by the server');
  },

  async 'whole numbers to the ends of 32 bits'(t) {
    const c = await t.connect();
    for (const [a, b] of [[2, 3], [-5, 3], [0, 0], [2147483647, 0], [-2147483648, 0], [127, 1], [255, 1], [65535, 1], [-129, 0], [-32769, 0]]) {
      same(await c.invoke('Add', a, b), a + b, `${a} + ${b}`);
    }
  },

  async 'numbers that are no 32-bit integers'(t) {
    const c = await t.connect();
    for (const bad of [1.5, 2147483648, -2147483649, 1e300, true, null, '1', [], {}]) {
      await fails(c.invoke('Add', bad, 1), wrongType('Add'));
    }
    same(await c.invoke('Add', 1, 2), 3);
  },

  async 'an object comes back'(t) {
    const c = await t.connect();
    const [name, value] = t.json ? ['name', 'value'] : ['Name', 'Value'];
    same(await c.invoke('EchoObject', { [name]: 'é', [value]: 7 }), { [name]: 'é', [value]: 7 });
  },

  async 'an object with less and with more'(t) {
    const c = await t.connect();
    const [name, value] = t.json ? ['name', 'value'] : ['Name', 'Value'];
    same(await c.invoke('EchoObject', {}), { [name]: null, [value]: 0 });
    const more = { before: { deep: [1, { er: [null] }] }, [value]: 1, between: 'x', [name]: 'n', after: 1.5 };
    same(await c.invoke('EchoObject', more), { [name]: 'n', [value]: 1 });
  },

  async 'names of fields, with and without case'(t) {
    const c = await t.connect();
    const answer = await c.invoke('EchoObject', { NAME: 'n', vAlUe: 1 });
    same(answer, t.json ? { name: 'n', value: 1 } : { Name: 'n', Value: 1 });
  },

  async 'something else than an object'(t) {
    const c = await t.connect();
    for (const bad of ['text', 7, true, [1, 2]]) await fails(c.invoke('EchoObject', bad), wrongType('EchoObject'));
  },

  async 'nothing comes back as null'(t) {
    const c = await t.connect();
    same(await c.invoke('Nothing'), null);
  },

  async 'names of methods without case'(t) {
    const c = await t.connect();
    same(await c.invoke('eChO', 'x'), 'x');
    same(await c.invoke('add', 1, 2), 3);
  },

  async 'a call that wants no answer'(t) {
    const c = await t.connect();
    const inbox = t.inbox(c, 'Message');
    await c.send('SendToCaller', 'sent');
    same(await inbox.next(), ['sent']);
    await c.send('NoSuchMethod');
    await c.send('Throw', 'unheard');
    same(await c.invoke('Echo', 'still here'), 'still here');
  },

  async 'many calls at once find their own answers'(t) {
    const c = await t.connect();
    const numbers = [...Array(200).keys()];
    same(await Promise.all(numbers.map((n) => c.invoke('Add', n, n))), numbers.map((n) => 2 * n));
  },

  async 'calls run in the order in which they were made'(t) {
    const c = await t.connect();
    const inbox = t.inbox(c, 'Message');
    const words = [...Array(100).keys()].map(String);
    await Promise.all(words.map((word) => c.invoke('SendToCaller', word)));
    same(await inbox.take(100), words);
  },

  async 'what a method sends comes before its answer'(t) {
    const c = await t.connect();
    const inbox = t.inbox(c, 'Number');
    await c.invoke('Burst', 20);
    same(inbox.calls.length, 20);
  },

  async 'calls beside each other where the hub allows'(t) {
    const c = await t.connect({ url: t.urls.parallel });
    const asked = t.inbox(c, 'Ask');
    let release;
    const held = new Promise((done) => (release = done));
    c.off('Ask');
    c.on('Ask', () => held);
    const slow = c.invoke('AskCaller', 'wait');
    same(await c.invoke('Echo', 'meanwhile'), 'meanwhile');
    release('at last');
    same(await slow, 'at last');
    ok(asked.calls.length === 0, 'a handler that was taken off is not called');
  },

  async 'the hub knows the connection'(t) {
    const c = await t.connect();
    same(await c.invoke('GetConnectionId'), c.connectionId);
    same(await c.invoke('GetTransport'), t.combo.transport);
    same(await c.invoke('GetUser'), null);
  },

  async 'a long text, close to the limit'(t) {
    const c = await t.connect();
    const text = 'é'.repeat(16_000) + 'x';
    same(await c.invoke('Echo', text), text);
  },

  async 'a large message from the server'(t) {
    const c = await t.connect({ hub: '/bench' });
    const group = t.unique('large');
    await c.invoke('Join', group);
    const inbox = t.inbox(c, 'Message');
    const { status, text } = await t.post(`/publish?group=${group}&count=3&size=1000000&interval=0`);
    same([status, text], [200, 'ok']);
    for (let i = 0; i < 3; i++) {
      const [{ data, Data }] = await inbox.next();
      ok((data ?? Data) === 'x'.repeat(1_000_000), 'a megabyte, whole');
    }
  },

  async 'nested objects and times'(t) {
    const c = await t.connect({ hub: '/hubs/video-generation' });
    const id = t.unique('task');
    const inbox = t.inbox(c, 'Progress');
    await c.invoke('SubscribeToTask', id);
    const began = Date.now();
    await t.post(`/progress?taskId=${id}&count=4`);
    for (let i = 0; i <= 4; i++) {
      const [{ timestamp, ...event }] = await inbox.next();
      same(event, {
        eventType: 'VideoGenerationProgress', taskId: id, progress: 25 * i, message: `frame ${i} of 4`, currentFrame: i, totalFrames: 4,
      });
      ok(t.json ? typeof timestamp === 'string' : timestamp instanceof Date, 'a time travels as its protocol has it');
      ok(Math.abs(new Date(timestamp) - began) < 60_000, 'the time is right');
    }
    await c.invoke('UnsubscribeFromTask', id);
    await t.post(`/progress?taskId=${id}&count=1`);
    same((await items(c.stream('Counter', 0, 0)).catch(() => 'no such stream here')), 'no such stream here');
    same(inbox.calls.length, 5);
  },

  async 'a Date where a string is wanted'(t) {
    const c = await t.connect();
    const when = new Date(Date.UTC(2026, 1, 3, 4, 5, 6, 789));
    const call = c.invoke('Echo', when);
    if (t.json) same(await call, '2026-02-03T04:05:06.789Z');
    else await fails(call, wrongType('Echo'));
  },

  async 'names of client methods without case, several handlers, and off'(t) {
    const c = await t.connect();
    const seen = [];
    const second = (m) => seen.push(`second ${m}`);
    c.on('MESSAGE', (m) => seen.push(`first ${m}`));
    c.on('message', second);
    await c.invoke('SendToCaller', '1');
    c.off('Message', second);
    await c.invoke('SendToCaller', '2');
    same(seen, ['first 1', 'second 1', 'first 2']);
  },

  async 'messages that nobody handles are passed over'(t) {
    const c = await t.connect();
    await c.invoke('SendToCaller', 'unheard');
    same(await c.invoke('Echo', 'fine'), 'fine');
    same(c.state, signalR.HubConnectionState.Connected);
  },
};

/** wrongType is the error of arguments that do not fit. */
export function wrongType(method) {
  return `Failed to invoke '${method}' due to an error on the server. InvalidDataException: Error binding arguments. ` +
    'Make sure that the types of the provided values match the types of the hub method being invoked.';
}
