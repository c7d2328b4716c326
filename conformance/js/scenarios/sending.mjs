// Sending: callers, others, groups, users, from within a hub and from outside.

import { same } from './check.mjs';

/** three connections that keep the messages of one scenario, and no others. */
async function three(t) {
  const tag = t.unique('m');
  const connections = await Promise.all([t.connect(), t.connect(), t.connect()]);
  const members = connections.map((c) => ({
    c, id: c.connectionId, inbox: t.inbox(c, 'Message', (m) => m.startsWith(tag) || m.startsWith('to ')),
  }));
  /** expect: these members have got exactly that since the last time. */
  let had = [0, 0, 0];
  const expect = async (...want) => {
    // A message to each of them shows that nothing is under way any more.
    await Promise.all(members.map(async (m) => m.c.invoke('SendToCaller', `${tag} end`)));
    const got = members.map((m, i) => m.inbox.calls.slice(had[i]).map(([text]) => text.replace(`${tag} `, '')));
    had = members.map((m) => m.inbox.calls.length);
    same(got, want.map((w) => [...w, 'end']));
  };
  return { a: members[0], b: members[1], c: members[2], tag, expect };
}

export const sending = {
  async 'to the caller'(t) {
    const { a, tag, expect } = await three(t);
    await a.c.invoke('SendToCaller', `${tag} x`);
    await expect(['x'], [], []);
  },

  async 'to the others'(t) {
    const { a, tag, expect } = await three(t);
    await a.c.invoke('SendToOthers', `${tag} x`);
    await expect([], ['x'], ['x']);
  },

  async 'to all'(t) {
    const { b, tag, expect } = await three(t);
    await b.c.invoke('SendToAll', `${tag} x`);
    await expect(['x'], ['x'], ['x']);
  },

  async 'to a group: in it, out of it'(t) {
    const { a, b, c, tag, expect } = await three(t);
    const group = t.unique('group');
    await a.c.invoke('Join', group);
    await a.c.invoke('Join', group); // twice is once
    await b.c.invoke('Join', group);
    await c.c.invoke('SendToGroup', group, `${tag} 1`);
    await expect(['1'], ['1'], []);
    await a.c.invoke('Leave', group);
    await a.c.invoke('Leave', group);
    await a.c.invoke('SendToGroup', group, `${tag} 2`);
    await expect([], ['2'], []);
    await c.c.invoke('SendToGroup', t.unique('nobody here'), `${tag} 3`);
    await expect([], [], []);
  },

  async 'to the others of a group'(t) {
    const { a, b, c, tag, expect } = await three(t);
    const group = t.unique('group');
    await Promise.all([a, b].map((m) => m.c.invoke('Join', group)));
    await a.c.invoke('SendToOthersInGroup', group, `${tag} 1`);
    await expect([], ['1'], []);
    await c.c.invoke('SendToOthersInGroup', group, `${tag} 2`);
    await expect(['2'], ['2'], []);
  },

  async 'names of groups are what they are'(t) {
    const { a, b, tag, expect } = await three(t);
    const group = t.unique('Gruppe ü 👥 /?&');
    await a.c.invoke('Join', group);
    await b.c.invoke('Join', group.toUpperCase());
    await b.c.invoke('SendToGroup', group, `${tag} x`);
    await expect(['x'], [], []);
  },

  async 'a connection that is gone is in no group'(t) {
    const { a, b, tag, expect } = await three(t);
    const group = t.unique('group');
    const { gone } = await t.watcher();
    const other = await t.connect();
    await other.invoke('Join', group);
    await a.c.invoke('Join', group);
    const id = other.connectionId;
    await other.stop();
    same(await gone(id), null);
    await b.c.invoke('SendToGroup', group, `${tag} x`);
    await expect(['x'], [], []);
  },

  async 'from outside, to connections'(t) {
    const { a, b, c, expect } = await three(t);
    same(await t.outside('connection', a.id), 'ok');
    await expect(['to connection'], [], []);
    same(await t.outside('connections', a.id, c.id), 'ok');
    await expect(['to connections'], [], ['to connections']);
    same(await t.outside('connection', 'nobody'), 'ok');
    await expect([], [], []);
    same(b.inbox.calls.length > 0, true);
  },

  async 'from outside, to groups'(t) {
    const { a, b, c, expect } = await three(t);
    const [one, two] = [t.unique('one'), t.unique('two')];
    await t.outside('add', a.id, one);
    await t.outside('add', b.id, one);
    await t.outside('add', c.id, two);
    await t.outside('group', one);
    await expect(['to group'], ['to group'], []);
    await t.outside('groupExcept', one, a.id);
    await expect([], ['to groupExcept'], []);
    await t.outside('groups', one, two);
    await expect(['to groups'], ['to groups'], ['to groups']);
    await t.outside('remove', a.id, one);
    await t.outside('group', one);
    await expect([], ['to group'], []);
    same(await t.outside('add', 'nobody', one), 'ok');
  },

  async 'from outside, to users: nobody has that name here'(t) {
    const { expect } = await three(t);
    await t.outside('user', t.unique('nobody'));
    await t.outside('users', t.unique('nobody'), t.unique('nobody'));
    await expect([], [], []);
  },

  async 'a burst comes whole and in order'(t) {
    const c = await t.connect();
    const inbox = t.inbox(c, 'Number');
    await c.invoke('Burst', 2000);
    same(inbox.calls.map(([n]) => n), [...Array(2000).keys()]);
  },

  async 'bursts to a group from outside come in order'(t) {
    const connections = await Promise.all([0, 1, 2].map(() => t.connect({ hub: '/bench' })));
    const group = t.unique('load');
    await Promise.all(connections.map((c) => c.invoke('Join', group)));
    const inboxes = connections.map((c) => t.inbox(c, 'Message'));
    same((await t.post(`/publish?group=${group}&count=500&size=100&interval=0`)).text, 'ok');
    for (const inbox of inboxes) {
      let last = 0n;
      for (let i = 0; i < 500; i++) {
        const [{ ts }] = await inbox.next();
        same(BigInt(ts) >= last, true, 'order');
        last = BigInt(ts);
      }
    }
  },
};
