// Credentials: tokens, users, their end and their refresh.

import { same, ok, fails } from './check.mjs';

const hub = '/authhub';

/** brief is how many seconds a credential lasts that is to end: long enough to connect on a busy machine. */
const brief = 4;

/** as makes a connection of a user; lifetimes are taken one after another, the last again and again. */
const as = (t, user, lifetimes, how = {}) => {
  const asked = [...lifetimes];
  return t.build({ hub, ...how, options: { accessTokenFactory: () => `${user}:${asked.length > 1 ? asked.shift() : asked[0]}` } });
};

export const auth = {
  async 'a token names the user'(t) {
    const user = t.unique('alice');
    const c = as(t, user, [60]);
    await c.start();
    same([await c.invoke('GetUser'), await c.invoke('Echo', 'x')], [user, 'x']);
  },

  async 'no token, a bad one'(t) {
    await fails(t.connect({ hub }), /Status code '401'/);
    for (const token of ['alice', 'alice:0', 'alice:-1', ':5', 'alice:x']) {
      await fails(t.connect({ hub, options: { accessTokenFactory: () => token } }), /Status code '401'/);
    }
  },

  async 'to a user, on all connections'(t) {
    const user = t.unique('bob');
    const connections = [as(t, user, [60]), as(t, user, [60]), as(t, t.unique('carol'), [60])];
    const inboxes = connections.map((c) => t.inbox(c, 'Message'));
    await Promise.all(connections.map((c) => c.start()));
    same(await t.post(`/user?user=${user}`), { status: 200, text: 'ok' });
    await Promise.all(inboxes.slice(0, 2).map((i) => i.next()));
    await connections[2].invoke('Echo', 'x');
    same(inboxes.map((i) => i.calls), [[['to user']], [['to user']], []]);
  },

  async 'the end of the credential is the end of the connection'(t) {
    const c = as(t, t.unique('dora'), [brief]);
    await c.start();
    same(await c.closed, null);
  },

  async 'then a client may come back with a new one'(t) {
    const user = t.unique('emil');
    const c = as(t, user, [brief, brief, 60], { reconnect: [0, 100, 500] });
    await c.start();
    const id = c.connectionId;
    const [newID] = await t.event((f) => c.onreconnected(f));
    ok(newID !== id, 'a new id');
    same(await c.invoke('GetUser'), user);
  },

  async 'a refresh lengthens the life of the connection'(t) {
    const user = t.unique('fay');
    const proxy = await t.proxy();
    const c = as(t, user, [brief], { url: proxy.url });
    await c.start();
    const token = await connectionToken(proxy);
    const refresh = (headers) => t.post(`${hub}/refresh`, { headers });
    const refreshed = await refresh({ Authorization: `Bearer ${user}:60`, 'X-SignalR-Connection-Token': token });
    same([refreshed.status, JSON.parse(refreshed.text)], [200, { tokenLifetimeSeconds: 60 }]);
    // A connection of the same kind that is not refreshed shows that time is up.
    const other = as(t, user, [brief]);
    await other.start();
    same(await other.closed, null);
    if (!t.polling) same([c.state, await c.invoke('GetUser')], ['Connected', user]);
  },

  async 'a refresh that is refused'(t) {
    const user = t.unique('gus');
    const proxy = await t.proxy();
    const c = as(t, user, [60], { url: proxy.url });
    await c.start();
    const token = await connectionToken(proxy);
    const refresh = async (bearer, headers) => {
      const { status, text } = await t.post(`${hub}/refresh`, { headers: { ...(bearer && { Authorization: `Bearer ${bearer}` }), ...headers } });
      return [status, text && JSON.parse(text).error];
    };
    same((await refresh(undefined, { 'X-SignalR-Connection-Token': token }))[0], 401);
    same(await refresh(`${user}:60`, {}), [400, 'missing_connection_token']);
    same(await refresh(`${user}:60`, { 'X-SignalR-Connection-Token': 'nobody' }), [404, 'connection_not_found']);
    same((await refresh('mallory:60', { 'X-SignalR-Connection-Token': token }))[0], 403);
    same(await c.invoke('GetUser'), user);
  },
};

/** connectionToken reads the token of the newest connection from a request of its transport. */
async function connectionToken(proxy) {
  const { path } = (await proxy.requests()).filter((r) => r.path.includes('id=')).at(-1);
  return new URL(path, 'http://localhost').searchParams.get('id');
}
