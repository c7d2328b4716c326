// Debian's Chromium, driven by playwright-core; no downloaded browser.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

export function launch(...args) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    timeout: 180_000,
    args: [
      '--no-sandbox', // the tests may run as root
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
      ...args,
    ],
  });
}

/**
 * open makes a page with a profile of its own and collects what must not
 * happen in it: exceptions and violations of the page's own policy.
 */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  context.setDefaultTimeout(180_000); // a busy machine is no fault
  const page = await context.newPage();
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(error.message));
  page.on('console', (message) => {
    if (/Content.Security.Policy|Refused to/i.test(message.text())) page.faults.push(message.text());
  });
  return page;
}

/** serve lets a page of the server's own origin be there for one test. */
export async function serve(page, url, files) {
  for (const [path, { type, body }] of Object.entries(files)) {
    await page.route(url + path, (route) => route.fulfill({ contentType: type, body }));
  }
}

/** assertPlays checks that a video runs, is as large and long as asked, and can be sought in. */
export async function assertPlays(video, { width, height, duration }) {
  await video.waitFor();
  const seen = await video.evaluate(async (v) => {
    const reached = (event, done) =>
      done() ? undefined : new Promise((ok, bad) => {
        const fail = (why) => {
          const { src, error, readyState, networkState, paused, ended, seeking, currentTime } = v;
          bad(new Error(`${why}: ${JSON.stringify({ src, error: error?.message, readyState, networkState, paused, ended, seeking, currentTime, connected: v.isConnected, visible: document.visibilityState })}`));
        };
        v.addEventListener(event, () => done() && ok());
        v.addEventListener('error', () => fail('media error'), { once: true });
        setTimeout(() => fail(`${event} did not come`), 120_000);
      });
    await reached('loadedmetadata', () => v.readyState >= 1);
    v.muted = true;
    // From the beginning: it may play already, over and over, and be near its end.
    v.pause();
    v.currentTime = 0;
    await reached('seeked', () => !v.seeking && v.currentTime === 0);
    await v.play();
    await reached('timeupdate', () => v.currentTime > 0.1); // it moves
    v.pause();
    const target = v.duration * 0.75;
    v.currentTime = target;
    await reached('seeked', () => !v.seeking && Math.abs(v.currentTime - target) < 0.01);
    return { width: v.videoWidth, height: v.videoHeight, duration: v.duration, at: v.currentTime, target };
  });
  assert.deepEqual([seen.width, seen.height], [width, height]);
  assert.ok(Math.abs(seen.duration - duration) < 0.15, `duration ${seen.duration}, asked ${duration}`);
  assert.ok(Math.abs(seen.at - seen.target) < 0.1, `seeking to ${seen.target} led to ${seen.at}`);
}
