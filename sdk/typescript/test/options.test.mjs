// Options: defaults, and refusals by name.

import assert from 'node:assert/strict';
import { afterEach, mock, test } from 'node:test';
import { ConduitCoreClient, InvalidOptionError } from '@knn_labs/conduit-core-client';
import { settings } from '../dist/esm/options.js';
import { redact } from '../dist/esm/logging.js';
import { Backoff, follow, sleep } from '../dist/esm/wait.js';
import { quiet } from './fakehub.mjs';

const key = 'condt_key';
const given = (options = {}) => settings({ apiKey: key, logger: quiet, ...options });

afterEach(() => {
  delete globalThis.location;
  delete process.env.CONDUIT_BASE_URL;
  delete process.env.CONDUIT_API_KEY;
});

test("the guide's defaults", async () => {
  const s = given();
  assert.equal(s.baseURL, 'https://api.conduit.ai/');
  assert.equal(await s.apiKey(), key);
  assert.deepEqual(s.signalR, {
    enabled: true, autoConnect: true, poll: false, transports: ['webSockets', 'serverSentEvents'], serverTimeout: 30_000,
    retry: { attempts: 3, interval: 5000, longest: 30_000, constant: false },
  });
  assert.equal(s.log.level, 'Information');
  assert.equal(s.log.debug, false);
  assert.deepEqual([s.timeout, s.maxRetries, s.pollInterval], [60_000, 2, 2000]);
});

test("the guide's blocks", () => {
  const transports = ['webSockets', 'serverSentEvents'];
  new ConduitCoreClient({ apiKey: 'your-virtual-key', baseURL: 'https://api.conduit.ai', signalR: { enabled: true, autoConnect: true, reconnectAttempts: 3, reconnectInterval: 5000, transports, logLevel: 'Information' } });
  new ConduitCoreClient({ apiKey: 'your-key', signalR: { logLevel: 'Debug' }, debug: true });
  assert.equal(given({ signalR: { reconnectAttempts: 2, reconnectInterval: 10000, logLevel: 'Error', transports: ['webSockets'] } }).signalR.retry.interval, 10_000);
});

test('words count in any case', () => {
  const s = given({ signalR: { transports: ['WEBSOCKETS', 'LongPolling', 'longpolling'], logLevel: 'tRACE', reconnectBackoff: 'Constant', afterLastAttempt: 'POLL' } });
  assert.deepEqual(s.signalR.transports, ['webSockets', 'longPolling']);
  assert.equal(s.log.level, 'Trace');
  assert.ok(s.signalR.retry.constant && s.signalR.poll);
});

test('where Conduit is', () => {
  process.env.CONDUIT_BASE_URL = 'http://127.0.0.1:5000/below';
  assert.equal(given().baseURL, 'http://127.0.0.1:5000/below/');
  globalThis.location = { origin: 'https://page.example' };
  assert.equal(given().baseURL, 'https://page.example/');
  for (const baseURL of ['https://gw.example/x', 'https://gw.example/x/', 'https://GW.example:443/x//', 'https://gw.example/x?', 'https://gw.example/x#', ' https://gw.example/x ']) {
    assert.equal(given({ baseURL }).baseURL, 'https://gw.example/x/', baseURL);
  }
  globalThis.location = { origin: 'null' }; // a file, a sandbox
  assert.equal(given().baseURL, 'http://127.0.0.1:5000/below/');
});

test('which key', async () => {
  assert.throws(() => settings({ logger: quiet }), InvalidOptionError);
  process.env.CONDUIT_API_KEY = 'condt_env';
  assert.equal(await settings({}).apiKey(), 'condt_env');
  assert.equal(await settings({ apiKey: async () => 'condt_later' }).apiKey(), 'condt_later');
  await assert.rejects(settings({ apiKey: () => '' }).apiKey(), InvalidOptionError);
  delete process.env.CONDUIT_API_KEY;
  globalThis.location = { origin: 'https://page.example' };
  assert.equal(settings({}).apiKey, undefined);
});

test('what cannot be is refused at once, by name, with what is allowed', () => {
  const nothing = [null, 7, 'x', [], true, () => {}];
  const cases = {
    options: [[null, 7, 'x', [], true], /object/],
    apiKey: [[null, 7, '', 'two words', 'é', 'a\nb', {}, []], /virtual key/],
    baseURL: [[null, 7, '', 'api.conduit.ai', '/v1', 'ftp://x', 'https://u:p@x', 'https://x?a=1', 'https://x#a', {}], /http or https/],
    debug: [[null, 1, 'true'], /true or false/],
    logger: [[7, 'console', {}, { debug() {} }], /debug, info, warn and error/],
    timeout: [[null, '5', -1, NaN, 2 ** 40], /milliseconds/],
    maxRetries: [[null, '5', -1, 1.5, NaN], /whole number/],
    pollInterval: [[null, '5', 0], /milliseconds/],
    fetch: [[7, {}], /function/],
    signalR: [nothing, /object/],
    'signalR.enabled': [[null, 1, 'true', {}], /true or false/],
    'signalR.autoConnect': [[null, 0, 'false'], /true or false/],
    'signalR.reconnectAttempts': [[null, '3', -1, 1.5, NaN, {}], /whole number from 0 to Infinity/],
    'signalR.reconnectInterval': [[null, '5000', -1, NaN, Infinity], /milliseconds/],
    'signalR.maxReconnectInterval': [[null, '5000', -1, NaN, Infinity], /milliseconds/],
    'signalR.serverTimeout': [[null, '1', 10, Infinity], /milliseconds/],
    'signalR.transports': [[null, 'webSockets', [], {}, 7], /webSockets, serverSentEvents, longPolling/],
    'signalR.transports[1]': [[['webSockets', 'carrierPigeon'], ['webSockets', 7], ['webSockets', null], ['webSockets', undefined]], /webSockets, serverSentEvents, longPolling/],
    'signalR.logLevel': [[null, 1, 'Verbose', ''], /Trace, Debug, Information, Warning, Error, Critical, None/],
    'signalR.reconnectBackoff': [[null, 'linear'], /exponential, constant/],
    'signalR.afterLastAttempt': [[null, 'panic'], /error, poll/],
  };
  for (const [option, [values, allowed]] of Object.entries(cases)) {
    const [first, second] = option.replace(/\[\d\]/, '').split('.');
    for (const value of values) {
      const options = option === 'options' ? value : { apiKey: key, [first]: second ? { [second]: value } : value };
      if (option === 'logger' && value === undefined) continue;
      assert.throws(() => new ConduitCoreClient(options), (e) => {
        assert.ok(e instanceof InvalidOptionError, `${option} ${String(value)}: ${e.stack}`);
        assert.equal(e.option, option);
        assert.ok(e.message.startsWith(option), e.message);
        assert.match(e.message, allowed);
        assert.ok(!/two words|u:p/.test(e.message), 'no secret is shown');
        return true;
      }, `${option}: ${JSON.stringify(value)}`);
    }
  }
  assert.throws(() => given({ signalr: {} }), /There is no option signalr\. Known are: apiKey, baseURL, signalR/);
  assert.throws(() => given({ signalR: { reconnect: 1 } }), /There is no option signalR\.reconnect\./);
});

test('arguments that cannot be are refused before anything is sent', async () => {
  const c = new ConduitCoreClient({ apiKey: key, logger: quiet, baseURL: 'http://127.0.0.1:1', fetch: () => assert.fail('nothing is sent') });
  for (const id of [undefined, null, 7, '', 'a b', 'x'.repeat(65), {}]) {
    assert.throws(() => c.videos.watch(id), { name: 'InvalidOptionError', option: 'taskId' });
    for (const method of ['get', 'cancel', 'retry']) await assert.rejects(c.videos[method](id), { name: 'InvalidOptionError' });
  }
  for (const [options, option] of [
    [{ onProgress: 7 }, 'onProgress'], [{ signal: {} }, 'signal'], [{ timeout: 'x' }, 'timeout'], [{ afterSequence: -1 }, 'afterSequence'],
    [{ afterSequence: 1.5 }, 'afterSequence'], [{ onprogress() {} }, 'watch options.onprogress'], [7, 'watch options'],
  ]) assert.throws(() => c.videos.watch('task_a', options), { name: 'InvalidOptionError', option });
  for (const request of [undefined, null, 7, 'boat', [], {}, { prompt: 7 }]) {
    await assert.rejects(c.videos.generate(request), { name: 'InvalidOptionError' });
    await assert.rejects(c.videos.generateAsync(request), { name: 'InvalidOptionError' });
  }
  for (const options of [{ idempotencyKey: '' }, { idempotencyKey: 'é' }, { idempotencyKey: 'x'.repeat(256) }, { signal: 1 }, { timeout: -1 }, { other: 1 }]) {
    await assert.rejects(c.videos.generateAsync({ prompt: 'a' }, options), { name: 'InvalidOptionError' });
  }
  for (const options of [{ cancelOnAbort: 1 }, { onTask: 1 }, { afterSequence: 1 }]) {
    await assert.rejects(c.videos.generate({ prompt: 'a' }, options), { name: 'InvalidOptionError' });
  }
  for (const options of [{ limit: 0 }, { limit: 101 }, { after: '' }, { status: 7 }, { status: null }, { status: [] }, { status: [7] }, { status: '' }, { kind: 'video' }, null]) {
    assert.throws(() => c.videos.list(options), { name: 'InvalidOptionError' });
  }
  for (const hubs of ['videos', ['movies'], [7], ['constructor'], [null], null]) await assert.rejects(c.connect({ hubs }), { name: 'InvalidOptionError', option: 'hubs' });
  await assert.rejects(new ConduitCoreClient({ apiKey: key, signalR: { enabled: false } }).connect(), { option: 'signalR.enabled' });
  await assert.rejects(c.videos.list().page(7), { name: 'InvalidOptionError', option: 'after' });
  for (const hub of ['movies', 7, null, 'toString']) assert.throws(() => c.connectionState(hub), { name: 'InvalidOptionError', option: 'hub' });
  assert.throws(() => c.onConnectionChange(7), { name: 'InvalidOptionError' });
  await assert.rejects(c.models.get(''), { name: 'InvalidOptionError' });
});

test('keys and tokens are blotted out', () => {
  for (const [text, clean] of [
    ['wss://h/hubs/v?a=1&id=abc-_1&access_token=condt_x%2B', 'wss://h/hubs/v?a=1&id=***&access_token=***'],
    ['Authorization: Bearer abc.def', 'Authorization: Bearer ***'],
    ['a condt_abcdefgh+/= b ek_12345678', 'a *** b ***'],
    ['{"connectionToken":"t","accessToken": "u"}', '{"connectionToken":"***","accessToken": "***"}'],
    ['my+odd/key and my%2Bodd%2Fkey', '*** and ***'],
    ['/v1/media/x?exp=1&sig=abc', '/v1/media/x?exp=1&sig=***'],
  ]) assert.equal(redact(text, 'my+odd/key'), clean);
});

test('delays double from the first, with jitter, up to the longest; or stay', () => {
  const random = mock.method(Math, 'random', () => 0);
  try {
    const delays = (rule) => {
      const backoff = new Backoff({ attempts: 5, interval: 5000, longest: 30_000, constant: false, ...rule });
      const all = Array.from({ length: 6 }, () => backoff.next());
      backoff.reset();
      assert.equal(backoff.attempts, 0);
      return all;
    };
    assert.deepEqual(delays(), [5000, 10_000, 20_000, 30_000, 30_000, undefined]);
    assert.deepEqual(delays({ constant: true }), [5000, 5000, 5000, 5000, 5000, undefined]);
    random.mock.mockImplementation(() => 0.9999999);
    const [first, second] = delays();
    assert.ok(first > 3750 && first < 3751 && second > 7500 && second < 7501, `${first} ${second}`);
    assert.deepEqual(delays({ attempts: 0 })[0], undefined);
    assert.ok(Number.isFinite(new Backoff({ attempts: Infinity, interval: 1, longest: 10, constant: false }).next()));
  } finally {
    random.mock.restore();
  }
});

test('sleeping and following leave no listeners behind', async () => {
  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal), remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args) => (listeners++, add(...args));
  signal.removeEventListener = (...args) => (listeners--, remove(...args));
  await sleep(1, signal);
  follow(signal).release();
  assert.equal(listeners, 0);
  await assert.rejects(sleep(1, AbortSignal.abort(new Error('enough'))), /enough/);
});
