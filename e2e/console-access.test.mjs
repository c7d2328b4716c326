// axe finds nothing in the console: every state of the page, in light and dark,
// at desktop and phone width.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, open } from './browser.mjs';
import { Conduit, long, until } from './conduit.mjs';
import { cardOf, connected, flaws, is, signIn } from './console.mjs';

let browser, conduit, page;
before(async () => {
  [browser, conduit] = await Promise.all([launch(), Conduit.start()]);
  page = await open(browser, { reducedMotion: 'reduce' });
});
after(async () => {
  await conduit?.stop();
  await browser?.close();
});

const clean = async () => assert.deepEqual(await flaws(page), []);

test('signed out, and refused', async () => {
  await page.goto(conduit.url);
  await page.getByLabel('Virtual key').fill('condt_wrong');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').filter({ hasText: /key/i }).waitFor();
  await clean();
});

test('empty, with the details of the connection', async () => {
  await signIn(page, conduit);
  await page.getByText('Nothing here yet.').waitFor();
  await page.getByRole('button', { name: 'Connection: Connected' }).click();
  await page.getByRole('group', { name: 'Connection details' }).getByText('Tasks and models').waitFor();
  await clean();
  await page.keyboard.press('Escape');
});

let running;
test('done, failed, cancelled, queued and running, with a timeline', async () => {
  const images = await conduit.request('/v1/images/generations/async', { json: { prompt: 'four', size: '64x64', n: 4 } });
  assert.equal(images.status, 202);
  const done = await conduit.create({ prompt: 'done', size: '64x64', duration: 1 });
  await is(cardOf(page, done), 'Done');
  await is(cardOf(page, 'four'), 'Done');
  const late = await conduit.create({ ...long, prompt: 'late', duration: 60, timeout_seconds: 1 });
  await is(cardOf(page, late), 'Timed out');
  const tasks = [];
  for (let i = 0; i < 4; i++) tasks.push(await conduit.create({ ...long, prompt: `at work ${i}`, duration: 60 }));
  running = tasks[0];
  await cardOf(page, running).getByText(/^frame \d+ of/).first().waitFor();
  await conduit.request(`/v1/tasks/${tasks[3]}/cancel`, { method: 'POST' });
  await is(cardOf(page, tasks[3]), 'Cancelled');
  for (const id of [running, done]) await cardOf(page, id).getByRole('button', { name: 'Timeline' }).click();
  await cardOf(page, done).getByText(/none missing$/).waitFor();
  await clean();
});

test('an image, large', async () => {
  await cardOf(page, 'four').getByRole('button', { name: /^Image 1 of 4/ }).click();
  await page.getByRole('dialog').waitFor();
  await clean();
  await page.keyboard.press('Escape');
});

test('the form for images, with a refusal', async () => {
  await page.getByRole('radio', { name: 'Images' }).check();
  await page.getByLabel('Size').fill('65x65');
  await page.getByLabel('Prompt').fill('odd');
  await page.getByRole('button', { name: 'Generate image' }).click();
  await page.getByRole('alert').filter({ hasText: /size/i }).waitFor();
  await clean();
});

test('without a connection', async () => {
  await conduit.kill();
  await page.getByText('Connection lost. Trying again.').waitFor();
  await clean();
  await conduit.run();
  await connected(page);
  await conduit.request(`/v1/tasks/${running}/cancel`, { method: 'POST' });
});

test('what admins see: who stands out', async () => {
  const { key } = await conduit.newKey('--name', 'watchman', '--scopes', 'video,navigation,admin');
  const refused = () => fetch(`${conduit.url}/hubs/video-generation/negotiate?negotiateVersion=1`, { method: 'POST' });
  await Promise.all(Array.from({ length: 31 }, refused));
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Virtual key').fill(key);
  await page.keyboard.press('Enter');
  await connected(page);
  await page.getByRole('button', { name: 'Connections' }).click();
  const pattern = page.locator('[data-pattern="failed_negotiations"]');
  await pattern.getByText('Once above the limit of 30').waitFor();
  await page.getByRole('row', { name: /127\.0\.0\.1 Failed negotiations/ }).waitFor();
  await clean();
  await page.getByRole('button', { name: 'Studio' }).click();
  await until('the form is back', () => page.getByLabel('Prompt').isVisible());
});

test('nothing went wrong in the page', () => assert.deepEqual(page.faults, []));
