// The official client in Chromium: every scenario over every combination, from
// a page of another origin than the server's.

import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import esbuild from 'esbuild';
import { chromium } from 'playwright-core';
import { remote, stopAll } from './remote.mjs';
import { combinations, scenarios } from './scenarios/index.mjs';
import { startServers } from './server.mjs';

let servers, urls, host, browser;

before(async () => {
  const [started, bundle] = await Promise.all([
    startServers(),
    esbuild.build({ entryPoints: [`${import.meta.dirname}/page.mjs`], bundle: true, write: false, format: 'iife', platform: 'browser' }),
  ]);
  servers = started;
  urls = Object.fromEntries(Object.entries(servers).map(([name, server]) => [name, server.url]));
  host = http.createServer((request, response) => {
    const script = request.url === '/page.js';
    response.writeHead(200, { 'content-type': script ? 'text/javascript; charset=utf-8' : 'text/html; charset=utf-8' });
    response.end(script ? bundle.outputFiles[0].text : '<!doctype html><title>conformance</title><script src="/page.js"></script>');
  });
  await new Promise((done) => host.listen(0, '127.0.0.1', done));
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});

after(async () => {
  await browser?.close();
  host?.closeAllConnections();
  host?.close();
  await stopAll();
  await Promise.all(Object.values(servers ?? {}).map((server) => server.stop()));
});

const abreast = 6;
const idle = [];

/** open makes a page with a profile, and so a set of connections, of its own. */
async function open() {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.exposeFunction('remote', (args) => remote(...args));
  await page.goto(`http://127.0.0.1:${host.address().port}/`);
  return page;
}

describe('Chromium', { concurrency: abreast }, () => {
  for (const { name } of scenarios) {
    for (const combo of combinations) {
      it(`${combo.name}: ${name}`, { timeout: 60_000 }, async () => {
        const page = idle.pop() ?? await open();
        await page.evaluate(([scenario, combination, at]) => window.run(scenario, combination, at), [name, combo.name, urls]);
        idle.push(page); // after a failure a fresh one is taken
      });
    }
  }
});
