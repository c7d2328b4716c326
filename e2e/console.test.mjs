// The console as a person uses it, in Chromium.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertPlays, launch, open } from './browser.mjs';
import { Conduit, long, until } from './conduit.mjs';
import { ask, cardOf, connected, is, signIn, stored, timeline } from './console.mjs';

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const announced = (page, text) => until(`"${text}" is said`, async () => (await page.getByRole('log').textContent())?.includes(text));
const focused = (page, what) => until(`the focus is in ${what}`, () => page.evaluate((id) => document.activeElement?.id === id, what));

describe('from the first start to a playing video', () => {
  let conduit;
  let page;
  before(async () => {
    conduit = await Conduit.start();
    page = await open(browser);
  });
  after(() => conduit?.stop());

  test('the first start, and only the first, prints a key and a login link', async () => {
    assert.ok(conduit.key, conduit.output);
    assert.ok(conduit.loginLink?.startsWith(conduit.url), conduit.output);
    assert.ok(!conduit.log.includes(conduit.key));
    const first = conduit.output.length;
    assert.equal((await conduit.terminate()).code, 0);
    await conduit.run();
    assert.doesNotMatch(conduit.output.slice(first), /condt_|#login=/);
  });

  test('the link opens the console signed in, and its code leaves the address bar', async () => {
    await page.goto(conduit.loginLink);
    await connected(page);
    assert.equal(page.url(), `${conduit.url}/`);
    await focused(page, 'prompt');
    const cookies = await page.context().cookies();
    assert.equal(cookies.length, 1);
    assert.ok(cookies[0].httpOnly && cookies[0].sameSite === 'Strict', JSON.stringify(cookies));
    assert.equal(await page.evaluate(() => document.cookie), '');
    assert.equal(await page.evaluate(() => Object.keys(localStorage).length + Object.keys(sessionStorage).length), 0);
  });

  test('a prompt becomes a task that moves, and then plays', async () => {
    await page.evaluate(() => {
      globalThis.said = [];
      const log = document.querySelector('[role=log]');
      new MutationObserver(() => globalThis.said.push(log.textContent)).observe(log, { characterData: true, childList: true, subtree: true });
    });
    const card = await ask(page, { Prompt: 'a boat of paper', Size: '960x540', 'Duration (s)': 4, 'Frames per second': 30, Seed: 5 });
    const bar = card.getByRole('progressbar');
    const seen = [];
    await until('the progress has been seen at work', async () => {
      const text = await bar.getAttribute('aria-valuetext', { timeout: 5_000 });
      const found = text?.match(/^frame (\d+) of (\d+) at (\d+) %$/);
      if (found && found[0] !== seen.at(-1)?.[0]) seen.push(found);
      return seen.length >= 3;
    });
    for (const [i, [, frame, frames, percent]] of seen.entries()) {
      assert.equal(frames, '120');
      assert.ok(Math.abs((+frame / 120) * 100 - +percent) <= 2, `frame ${frame} at ${percent} %`);
      if (i > 0) assert.ok(+frame > +seen[i - 1][1], 'frames rise');
    }
    await is(card, 'Done');
    await assertPlays(card.locator('video'), { width: 960, height: 540, duration: 4 });
    await announced(page, 'Done: a boat of paper');
    const said = new Set(await page.evaluate(() => globalThis.said.filter(Boolean)));
    for (const text of said) assert.match(text, /^(Queued|Running|Done): a boat of paper$/, 'a turn is said, not each frame');
    assert.deepEqual(page.faults, []);
  });

  test('a task made by curl shows up by itself, in every tab, and its video can be had', async () => {
    const lists = [];
    page.on('request', (request) => /\/v1\/tasks\?/.test(request.url()) && lists.push(request.url()));
    const other = await page.context().newPage();
    await other.goto(conduit.url);
    await connected(other);
    await cardOf(other, 'a boat of paper').getByText('960 × 540').waitFor(); // the list was read: what comes now is new
    const id = await conduit.create({ prompt: 'made by curl' });
    for (const tab of [page, other]) {
      await is(cardOf(tab, id), 'Done');
      await cardOf(tab, id).scrollIntoViewIfNeeded();
      await assertPlays(cardOf(tab, id).locator('video'), { width: 320, height: 180, duration: 2 });
    }
    assert.deepEqual(lists, [], 'the navigation hub told of it; nobody had to ask for the list');
    await other.close();
    await page.reload();
    const card = cardOf(page, id);
    const still = card.locator('canvas');
    await until('there is a still', () => still.evaluate((c) => c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[3] === 255));
    await card.getByRole('button', { name: 'Play video: made by curl' }).click();
    await until('the focus is in the player', () => page.evaluate(() => document.activeElement?.tagName === 'VIDEO'));
    await assertPlays(card.locator('video'), { width: 320, height: 180, duration: 2 });
    assert.equal(await page.locator('video').count(), 1, 'one at a time holds a connection');
    const [download] = await Promise.all([page.waitForEvent('download'), card.getByRole('button', { name: 'Download' }).click()]);
    assert.match(download.suggestedFilename(), new RegExp(`^${id}.*\\.webm$`));
    assert.equal(await download.failure(), null);
  });

  test('images become a gallery, and each can be looked at large', async () => {
    await page.getByRole('radio', { name: 'Images' }).check();
    const card = await ask(page, { Prompt: 'three lighthouses', Size: '256x256', 'Number of images': 3 });
    await is(card, 'Done');
    const images = card.locator('img');
    await until('all three are there', async () => (await images.evaluateAll((all) => all.filter((i) => i.complete && i.naturalWidth === 256).length)) === 3);
    const second = card.getByRole('button', { name: /^Image 2 of 3/ });
    await second.focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Image 2 of 3: three lighthouses' }).waitFor();
    await page.keyboard.press('ArrowRight');
    const dialog = page.getByRole('dialog', { name: 'Image 3 of 3: three lighthouses' });
    await until('it is large', () => dialog.locator('img').evaluate((i) => i.complete && i.naturalWidth === 256));
    await page.keyboard.press('Escape');
    await until('the focus is back', () => second.evaluate((button) => document.activeElement === button));
    await page.getByRole('button', { name: 'Videos' }).click();
    assert.equal(await card.count(), 0);
    await page.getByRole('button', { name: 'All' }).click();
    assert.deepEqual(page.faults, []);
  });

  test('a login link works once', async () => {
    const other = await open(browser);
    await other.goto(conduit.loginLink);
    await other.getByRole('alert').filter({ hasText: /used|expired/ }).waitFor();
    assert.equal(other.url(), `${conduit.url}/`);
    await other.context().close();
  });

  test('signing out while the server is away is not pretended', async () => {
    await page.route('**/console/session', (route) => route.abort());
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('alert').filter({ hasText: 'You are still signed in' }).waitFor();
    await page.unroute('**/console/session');
  });

  test('signing out ends the session on the server, and in the other tab too', async () => {
    const other = await page.context().newPage();
    await other.goto(conduit.url);
    await connected(other);
    const cookies = await page.context().cookies();
    await page.getByRole('button', { name: 'Sign out' }).click();
    for (const tab of [page, other]) await tab.getByLabel('Virtual key').waitFor();
    await page.context().addCookies(cookies); // a copy that someone kept
    const status = await page.evaluate(() => fetch('/v1/tasks').then((r) => r.status));
    assert.equal(status, 401);
    assert.deepEqual(page.faults, []);
  });
});

describe('at the desk', () => {
  let conduit;
  let page;
  before(async () => {
    conduit = await Conduit.start();
    page = await open(browser);
    await page.goto(conduit.url);
  });
  after(() => conduit?.stop());

  const cards = () => page.locator('[data-task]').filter({ hasText: 'typed by hand' });

  /** tabTo presses Tab until the focus is on a button of that name. */
  async function tabTo(name) {
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab');
      if ((await page.evaluate(() => document.activeElement?.textContent?.trim())) === name) return;
    }
    assert.fail(`Tab does not lead to ${name}`);
  }

  test('a wrong key is refused in words, and the keyboard alone signs in', async () => {
    await focused(page, 'key');
    await page.keyboard.type('condt_' + 'A'.repeat(43));
    await page.keyboard.press('Enter');
    await page.getByRole('alert').filter({ hasText: /key/i }).waitFor();
    await focused(page, 'key');
    await page.keyboard.press('Control+a');
    await page.keyboard.type(conduit.key);
    await page.keyboard.press('Enter');
    await connected(page);
  });

  test('the keyboard alone makes a video, cancels it, and reads its timeline', async () => {
    await focused(page, 'prompt');
    await page.keyboard.type('typed by hand');
    for (const [id, value] of [['settings'], ['model'], ['size', '1280x720'], ['duration', '30'], ['fps', '30']]) {
      await page.keyboard.press('Tab');
      if (id !== 'settings') await focused(page, id);
      if (value) {
        await page.keyboard.press('Control+a');
        await page.keyboard.type(value);
      }
    }
    await page.keyboard.press('Enter');
    await is(cards(), 'Running');
    await tabTo('Cancel');
    await page.keyboard.press('Space');
    await is(cards(), 'Cancelled');
    await announced(page, 'Cancelled: typed by hand');
    await until('the focus is with the task', () => page.evaluate(() => document.activeElement?.textContent === 'typed by hand'));
    await tabTo('Timeline');
    await page.keyboard.press('Enter');
    await cards().getByText(/^\d+ events, none missing$/).waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'Events', 'it can be scrolled with keys');
  });

  test('a cancelled task can be tried again, and be made anew from the form', async () => {
    await cards().getByRole('button', { name: 'Try again' }).click();
    await until('there are two', async () => (await cards().count()) === 2);
    await cards().first().getByRole('button', { name: 'Cancel' }).click();
    await is(cards().first(), 'Cancelled');
    await cards().first().getByRole('button', { name: 'Reuse' }).click();
    await focused(page, 'prompt');
    assert.equal(await page.getByLabel('Prompt').inputValue(), 'typed by hand');
    assert.equal(await page.getByLabel('Duration (s)').inputValue(), '30');
  });

  test('what the server refuses is said at the form', async () => {
    await ask(page, { Prompt: 'odd', Size: '641x361' });
    await page.getByRole('alert').filter({ hasText: /size|multiple|even/i }).waitFor();
    assert.equal(await page.getByLabel('Size').getAttribute('aria-invalid'), 'true');
  });

  test('light, dark, and a narrow phone', async () => {
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await ground();
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.notEqual(await ground(), light);
    await page.setViewportSize({ width: 320, height: 640 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'no sideways scrolling');
  });

  test('a key without the navigation scope has what it may have, until it is revoked', async () => {
    const { key } = await conduit.newKey('--name', 'short-lived', '--scopes', 'video');
    const other = await open(browser);
    await signIn(other, conduit, key);
    await other.getByText('lacks the navigation scope').waitFor();
    assert.equal(await other.getByRole('radio').count(), 0, 'there is one kind to choose from');
    const card = await ask(other, { Prompt: 'mine alone', Size: '64x64', 'Duration (s)': 1, 'Frames per second': 5 });
    await is(card, 'Done');
    await assertPlays(card.locator('video'), { width: 64, height: 64, duration: 1 });
    const revoked = await conduit.cli('keys', 'revoke', 'short-lived');
    assert.equal(revoked.code, 0, revoked.stderr);
    await other.getByLabel('Virtual key').waitFor();
    await other.context().close();
  });

  test('nothing went wrong in the page', () => assert.deepEqual(page.faults, []));
});

test('a server that is killed in the middle of a render: the page recovers, and no event is missing', async () => {
  const conduit = await Conduit.start();
  try {
    const page = await open(browser);
    await page.goto(conduit.loginLink);
    await connected(page);
    const card = await ask(page, { Prompt: 'through the storm', Size: long.size, 'Duration (s)': 6, 'Frames per second': 30, Seed: 3 });
    await card.getByText(/^frame \d+ of 180$/).first().waitFor();
    const events = await timeline(card);
    const id = await card.getAttribute('data-task');
    await conduit.kill();
    await page.getByRole('button', { name: 'Connection: Reconnecting' }).waitFor();
    await page.getByText('Connection lost. Trying again.').waitFor();
    await card.locator('.outage', { hasText: 'trying again' }).waitFor();
    await conduit.run();
    await connected(page);
    await card.locator('.outage', { hasText: /back after \d+ s/ }).waitFor();
    await is(card, 'Done');
    await assertPlays(card.locator('video'), { width: 1280, height: 720, duration: 6 });
    await card.getByText(/^\d+ events, none missing$/).waitFor();
    const kept = await stored(conduit, id);
    assert.deepEqual(kept.map((e) => e.sequence), kept.map((_, i) => i + 1));
    assert.deepEqual([kept.at(-1).name, kept.filter((e) => e.name === 'Started').length], ['Completed', 2]);
    assert.deepEqual(await events(), kept);
    assert.deepEqual(page.faults, []);
  } finally {
    await conduit.stop();
  }
});
