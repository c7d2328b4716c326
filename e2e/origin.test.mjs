// A page of another origin, another port of the same host here, tries to use
// the console's cookie. The browser sends it along, since SameSite does not
// look at ports; the server passes it over.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { launch, open } from './browser.mjs';
import { Conduit } from './conduit.mjs';

let browser, conduit, page, stranger;
before(async () => {
  [browser, conduit] = await Promise.all([launch(), Conduit.start()]);
  page = await open(browser);
  await page.goto(conduit.loginLink);
  await page.getByLabel('Prompt').waitFor();
  stranger = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html><p>elsewhere</p>'));
  await new Promise((done) => stranger.listen(0, '127.0.0.1', done));
  await page.goto(`http://127.0.0.1:${stranger.address().port}/`);
});
after(async () => {
  await browser?.close();
  stranger?.close();
  await conduit?.stop();
});

const ask = (path, init) =>
  page.evaluate(
    ([url, options]) => fetch(url, { credentials: 'include', ...options }).then((r) => r.status, () => 'blocked'),
    [conduit.url + path, init],
  );

test('the cookie is still good on its own page', async () => {
  const own = await open(browser);
  await own.context().addCookies(await page.context().cookies(conduit.url));
  await own.goto(conduit.url);
  await own.getByLabel('Prompt').waitFor();
  await own.context().close();
});

for (const [what, path, init] of [
  ['reading tasks', '/v1/tasks', {}],
  ['making a video', '/v1/videos/generations/async', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"prompt":"not mine"}' }],
  ['making a video as a simple request', '/v1/videos/generations/async', { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: '{"prompt":"not mine"}' }],
  ['negotiate', '/hubs/video-generation/negotiate?negotiateVersion=1', { method: 'POST' }],
  ['the session', '/console/session', {}],
  ['signing out', '/console/session', { method: 'DELETE' }],
]) {
  test(`${what} is refused`, async () => {
    assert.ok([401, 403, 'blocked'].includes(await ask(path, init)), 'refused');
  });
}

test('the WebSocket is refused', async () => {
  const negotiated = await conduit.request('/hubs/video-generation/negotiate?negotiateVersion=1', { method: 'POST' });
  const { connectionToken } = await negotiated.json();
  for (const query of ['', `?id=${encodeURIComponent(connectionToken)}`]) {
    const how = await page.evaluate(
      (url) =>
        new Promise((done) => {
          const socket = new WebSocket(url);
          socket.onopen = () => done('open');
          socket.onerror = () => done('refused');
        }),
      `${conduit.url.replace('http', 'ws')}/hubs/video-generation${query}`,
    );
    assert.equal(how, 'refused');
  }
});

test('an event stream is refused', async () => {
  const id = await conduit.create();
  const how = await page.evaluate(
    (url) =>
      new Promise((done) => {
        const source = new EventSource(url, { withCredentials: true });
        source.onopen = () => done('open');
        source.onerror = () => done('refused');
      }),
    `${conduit.url}/v1/tasks/${id}/events`,
  );
  assert.equal(how, 'refused');
});

test('nothing was made, and the session still stands', async () => {
  const list = await (await conduit.request('/v1/tasks')).json();
  assert.ok(list.data.every((task) => task.prompt !== 'not mine'));
  await page.goto(conduit.url);
  await page.getByLabel('Prompt').waitFor();
});

test('with a key, a page of another origin may do what the key may', async () => {
  await page.goto(`http://127.0.0.1:${stranger.address().port}/`);
  assert.equal(await ask('/v1/tasks', { headers: { Authorization: `Bearer ${conduit.key}` } }), 200);
});
