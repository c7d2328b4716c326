// The console as a person uses it, in Chromium.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertPlays, launch, open } from './browser.mjs';
import { Conduit, until } from './conduit.mjs';

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

async function fillAndSend(page, { prompt, size, duration, fps, seed }) {
  await page.getByLabel('Prompt').fill(prompt);
  await page.getByLabel('Size').fill(size);
  await page.getByLabel('Duration').fill(String(duration));
  await page.getByLabel('Frames per second').fill(String(fps));
  await page.getByLabel('Seed').fill(seed === undefined ? '' : String(seed));
  await page.getByRole('button', { name: 'Generate video' }).click();
  return page.getByRole('listitem').filter({ hasText: prompt }).first();
}

const connected = (page) => page.getByRole('status', { name: 'Connection' }).filter({ hasText: 'Connected' }).waitFor();

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
    await page.getByLabel('Prompt').waitFor();
    assert.equal(page.url(), `${conduit.url}/`);
    await connected(page);
    await until('the focus is in the prompt', () => page.evaluate(() => document.activeElement?.id === 'prompt'));
    const cookies = await page.context().cookies();
    assert.equal(cookies.length, 1);
    assert.ok(cookies[0].httpOnly && cookies[0].sameSite === 'Strict', JSON.stringify(cookies));
    assert.equal(await page.evaluate(() => document.cookie), '');
    assert.equal(await page.evaluate(() => Object.keys(localStorage).length + Object.keys(sessionStorage).length), 0);
  });

  test('a prompt becomes a task that moves, and then plays', async () => {
    const card = await fillAndSend(page, { prompt: 'a boat of paper', size: '1280x720', duration: 4, fps: 30, seed: 5 });
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
    await card.getByText('Done', { exact: true }).waitFor();
    await assertPlays(card.locator('video'), { width: 1280, height: 720, duration: 4 });
    await until('the end was announced', async () => (await page.getByRole('log').textContent())?.includes('Done: a boat of paper'));
    assert.deepEqual(page.faults, []);
  });

  test('a task made elsewhere appears, and its video is there on demand', async () => {
    const id = await conduit.create({ prompt: 'made by curl' });
    const card = page.locator(`[data-task="${id}"]`);
    await card.getByText('Done', { exact: true }).waitFor();
    await page.reload();
    await card.getByRole('button', { name: 'Show video' }).click();
    await assertPlays(card.locator('video'), { width: 320, height: 180, duration: 2 });
    const [download] = await Promise.all([page.waitForEvent('download'), card.getByRole('button', { name: 'Download' }).click()]);
    assert.match(download.suggestedFilename(), new RegExp(`^${id}.*\\.webm$`));
    assert.equal(await download.failure(), null);
  });

  test('a login link works once', async () => {
    const other = await open(browser);
    await other.goto(conduit.loginLink);
    await other.getByRole('alert').filter({ hasText: /used|expired/ }).waitFor();
    assert.equal(other.url(), `${conduit.url}/`);
    await other.context().close();
  });

  test('signing out ends the session on the server too', async () => {
    const cookies = await page.context().cookies();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Virtual key').waitFor();
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

  test('a wrong key is refused in words, and the keyboard alone signs in', async () => {
    await page.getByLabel('Virtual key').waitFor();
    await until('the focus is in the key', () => page.evaluate(() => document.activeElement?.id === 'key'));
    await page.keyboard.type('condt_' + 'A'.repeat(43));
    await page.keyboard.press('Enter');
    await page.getByRole('alert').filter({ hasText: /key/i }).waitFor();
    await until('the focus is back', () => page.evaluate(() => document.activeElement?.id === 'key' && !document.activeElement.disabled));
    await page.keyboard.press('Control+a');
    await page.keyboard.type(conduit.key);
    await page.keyboard.press('Enter');
    await connected(page);
  });

  test('the keyboard alone makes a video and cancels it', async () => {
    await until('the focus is in the prompt', () => page.evaluate(() => document.activeElement?.id === 'prompt'));
    await page.keyboard.type('typed by hand');
    for (const [label, value] of [['Size', '1280x720'], ['Duration', '30'], ['Frames per second', '30']]) {
      await page.getByLabel(label).focus();
      await page.keyboard.press('Control+a');
      await page.keyboard.type(value);
    }
    await page.getByLabel('Prompt').focus();
    await page.keyboard.press('Control+Enter');
    const card = page.getByRole('listitem').filter({ hasText: 'typed by hand' });
    await card.getByText('Running', { exact: true }).waitFor();
    await card.getByRole('button', { name: 'Cancel' }).focus();
    await page.keyboard.press('Space');
    await card.getByText('Cancelled', { exact: true }).waitFor();
    await until('the end was announced', async () => (await page.getByRole('log').textContent())?.includes('Cancelled: typed by hand'));
  });

  test('a cancelled task can be tried again', async () => {
    const cards = page.getByRole('listitem').filter({ hasText: 'typed by hand' });
    await cards.getByRole('button', { name: 'Try again' }).click();
    await until('there are two', async () => (await cards.count()) === 2);
    await cards.first().getByRole('button', { name: 'Cancel' }).click();
    await cards.first().getByText('Cancelled', { exact: true }).waitFor();
  });

  test('what the server refuses is said at the form', async () => {
    await page.getByLabel('Size').fill('641x361');
    await page.getByLabel('Prompt').fill('odd');
    await page.getByRole('button', { name: 'Generate video' }).click();
    await page.getByRole('alert').filter({ hasText: /size|multiple|even/i }).waitFor();
    assert.equal(await page.getByLabel('Size').getAttribute('aria-invalid'), 'true');
  });

  test('light, dark and a phone', async () => {
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await ground();
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.notEqual(await ground(), light);
    await page.setViewportSize({ width: 320, height: 640 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'no sideways scrolling');
  });

  test('a revoked key ends the session of the page', async () => {
    const { key } = await conduit.newKey('--name', 'short-lived', '--scopes', 'video');
    const other = await open(browser);
    await other.goto(conduit.url);
    await other.getByLabel('Virtual key').fill(key);
    await other.keyboard.press('Enter');
    await connected(other);
    const revoked = await conduit.cli('keys', 'revoke', 'short-lived');
    assert.equal(revoked.code, 0, revoked.stderr);
    await other.getByLabel('Virtual key').waitFor();
    await other.context().close();
  });

  test('nothing went wrong in the page', () => assert.deepEqual(page.faults, []));
});

test('the page survives a server that is killed in the middle of a render', async () => {
  const conduit = await Conduit.start();
  try {
    const page = await open(browser);
    await page.goto(conduit.loginLink);
    await connected(page);
    const card = await fillAndSend(page, { prompt: 'through the storm', size: '1280x720', duration: 8, fps: 30, seed: 3 });
    await card.getByText(/frame \d+ of 240/).waitFor();
    await conduit.kill();
    await page.getByRole('status', { name: 'Connection' }).filter({ hasText: /Reconnecting|Connecting/ }).waitFor();
    await conduit.run();
    await connected(page);
    await card.getByText('Done', { exact: true }).waitFor();
    await assertPlays(card.locator('video'), { width: 1280, height: 720, duration: 8 });
    assert.deepEqual(page.faults, []);
  } finally {
    await conduit.stop();
  }
});
