// Client results: the hub asks, clients answer.

import { same, fails, deferred } from './check.mjs';

const threw = (method) => `An unexpected error occurred invoking '${method}' on the server. `;

export const results = {
  async 'the caller answers'(t) {
    const c = await t.connect();
    c.on('Ask', (question) => `${question}!`);
    same(await c.invoke('AskCaller', 'sure'), 'sure!');
  },

  async 'the caller answers later'(t) {
    const c = await t.connect();
    const answer = deferred();
    const asked = deferred();
    c.on('Ask', () => { asked.resolve(); return answer.promise; });
    const call = c.invoke('AskCaller', 'when?');
    await asked.promise;
    answer.resolve('now');
    same(await call, 'now');
  },

  async 'the caller answers null'(t) {
    const c = await t.connect();
    c.on('Ask', () => null);
    same(await c.invoke('AskCaller', '?'), null);
  },

  async 'the handler fails'(t) {
    const c = await t.connect();
    c.on('Ask', () => { throw new Error('nope'); });
    await fails(c.invoke('AskCaller', '?'), `${threw('AskCaller')}HubException: Error: nope`);
  },

  async 'nobody answers'(t) {
    const c = await t.connect();
    await fails(c.invoke('AskCaller', '?'), `${threw('AskCaller')}HubException: Client didn't provide a result.`);
  },

  async 'two answers'(t) {
    const c = await t.connect();
    c.on('Ask', () => 'one');
    c.on('Ask', () => 'two');
    await fails(c.invoke('AskCaller', '?'), `${threw('AskCaller')}HubException: Client provided multiple results.`);
  },

  async 'an answer of the wrong type'(t) {
    const c = await t.connect();
    c.on('Ask', () => ({ not: 'a string' }));
    await fails(c.invoke('AskCaller', '?'), /HubException: Error trying to deserialize result to String\. /);
    same(await c.invoke('Echo', 'fine'), 'fine');
  },

  async 'another connection answers'(t) {
    const [asker, other] = await Promise.all([t.connect(), t.connect()]);
    other.on('Ask', (question) => question.toUpperCase());
    same(await asker.invoke('AskConnection', other.connectionId, 'you?'), 'YOU?');
  },

  async 'a connection that is not there'(t) {
    const c = await t.connect();
    await fails(c.invoke('AskConnection', 'nobody', '?'), `${threw('AskConnection')}IOException: Connection 'nobody' does not exist.`);
  },

  async 'a connection that leaves instead of answering'(t) {
    const [asker, other] = await Promise.all([t.connect(), t.connect()]);
    const asked = deferred();
    other.on('Ask', () => { asked.resolve(); return new Promise(() => {}); });
    const id = other.connectionId;
    const call = asker.invoke('AskConnection', id, '?');
    await asked.promise;
    const failed = fails(call, `${threw('AskConnection')}IOException: Connection '${id}' disconnected.`);
    await other.stop();
    await failed;
  },

  async 'asked from outside'(t) {
    const c = await t.connect();
    c.on('Ask', (question) => `${question} yes`);
    same(await t.outside('ask', c.connectionId, 'well?'), 'well? yes');
    await fails(t.outside('ask', 'nobody', '?'), /Connection 'nobody' does not exist\./);
  },

  async 'questions cross each other'(t) {
    const [a, b] = await Promise.all([t.connect(), t.connect()]);
    a.on('Ask', (question) => `a ${question}`);
    b.on('Ask', (question) => `b ${question}`);
    same(await Promise.all([
      a.invoke('AskConnection', b.connectionId, '1'), b.invoke('AskConnection', a.connectionId, '2'), a.invoke('AskCaller', '3'),
    ]), ['b 1', 'a 2', 'a 3']);
  },
};
