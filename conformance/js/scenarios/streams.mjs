// Streams: down, up, both, and their ends.

import { same, ok, items, fails, deferred } from './check.mjs';
import { signalR } from './context.mjs';

const upTo = (n) => [...Array(n).keys()];

/** upload sends items, then the end, as a method reads them. */
function upload(all) {
  const subject = new signalR.Subject();
  queueMicrotask(() => {
    for (const item of all) subject.next(item);
    subject.complete();
  });
  return subject;
}

export const streams = {
  async 'a stream to its end'(t) {
    const c = await t.connect();
    same(await items(c.stream('Counter', 5, 0)), upTo(5));
    same(await items(c.stream('Counter', 3, 5)), upTo(3));
  },

  async 'an empty stream'(t) {
    const c = await t.connect();
    same(await items(c.stream('Counter', 0, 0)), []);
  },

  async 'a long stream in order'(t) {
    const c = await t.connect();
    same(await items(c.stream('Counter', 3000, 0)), upTo(3000));
  },

  async 'streams beside each other, and calls between'(t) {
    const c = await t.connect();
    const running = Promise.all([10, 20, 30].map((n) => items(c.stream('Counter', n, 2))));
    same(await c.invoke('Add', 1, 1), 2);
    same(await running, [upTo(10), upTo(20), upTo(30)]);
  },

  async 'a stream that the client cancels'(t) {
    const c = await t.connect();
    const second = deferred();
    let count = 0;
    const subscription = c.stream('Counter', 1_000_000, 1).subscribe({
      next: () => ++count === 2 && second.resolve(),
      complete: () => second.reject(new Error('completed')),
      error: second.reject,
    });
    await second.promise;
    subscription.dispose();
    const before = count;
    same(await items(c.stream('Counter', 50, 1)), upTo(50));
    same(count, before);
  },

  async 'many streams that the client cancels'(t) {
    const c = await t.connect();
    for (let i = 0; i < 20; i++) {
      await new Promise((done) => {
        const subscription = c.stream('Counter', 1_000_000, 1).subscribe({ next: () => { subscription.dispose(); done(); }, complete() {}, error() {} });
      });
    }
    same(await c.invoke('Echo', 'fine'), 'fine');
  },

  async 'a stream ends with its connection'(t) {
    const c = await t.connect();
    const first = deferred();
    const over = new Promise((done) => c.stream('Counter', 1_000_000, 1).subscribe({
      next: first.resolve, complete: () => done('completed'), error: (e) => done(e.message),
    }));
    await first.promise;
    await c.stop();
    same(await over, 'Invocation canceled due to the underlying connection being closed.');
  },

  async 'an upload'(t) {
    const c = await t.connect();
    same(await c.invoke('Concat', upload(['a', 'é', '', '👋'])), 'aé👋');
    same(await c.invoke('Sum', upload([1, 2, 3])), 6);
    same(await c.invoke('Sum', upload([])), 0);
  },

  async 'two uploads of one call'(t) {
    const c = await t.connect();
    // This client takes the second of two streams side by side for an argument.
    await fails(c.invoke('SumTwo', upload([1, 2, 3]), upload([10, 20])), /Invocation provides 1 argument\(s\) but target expects 0\.$/);
    await c.uploaded;
    same(await c.invoke('Echo', 'fine'), 'fine');
  },

  async 'uploads of several calls beside each other'(t) {
    const c = await t.connect();
    same(await Promise.all([10, 20, 30].map((n) => c.invoke('Sum', upload(upTo(n))))), [45, 190, 435]);
  },

  async 'a long upload, beyond what the hub keeps'(t) {
    const c = await t.connect();
    const count = t.webSockets ? 1000 : 100; // each item is a POST of its own there
    same(await c.invoke('Sum', upload(upTo(count))), count * (count - 1) / 2);
  },

  async 'up and down at once'(t) {
    const c = await t.connect();
    const subject = new signalR.Subject();
    const got = [];
    const more = [deferred(), deferred(), deferred()];
    const over = new Promise((done, failed) => c.stream('Upper', subject).subscribe({
      next: (word) => { got.push(word); more[got.length - 1].resolve(); }, complete: done, error: failed,
    }));
    for (const [i, word] of ['a', 'straße', 'ø'].entries()) {
      subject.next(word);
      await more[i].promise;
    }
    subject.complete();
    await over;
    same(got, ['A', 'STRASSE', 'Ø'].map((w, i) => (i === 1 ? got[1] : w)));
    ok(/^STRA(SS|ß)E$/.test(got[1]), 'upper case');
  },

  async 'an upload for a method that is not there'(t) {
    const c = await t.connect();
    await fails(c.invoke('NoSuchMethod', upload(['a', 'b'])), /Method does not exist\.$/);
    await c.uploaded;
    same(await c.invoke('Echo', 'fine'), 'fine');
  },

  async 'an upload whose call is over'(t) {
    const c = await t.connect();
    const subject = new signalR.Subject();
    await fails(c.invoke('Sum', subject, 'one too many'), /Invocation provides 1 argument\(s\) but target expects 0\.$/);
    for (const n of upTo(30)) subject.next(n);
    subject.complete();
    await c.uploaded;
    same(await c.invoke('Echo', 'fine'), 'fine');
  },
};
