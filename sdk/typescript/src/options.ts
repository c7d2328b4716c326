// What a client can be told, what holds without, and what cannot be.

import { InvalidOptionError } from './errors.js';
import { Log, logLevels, type Logger, type LogLevel } from './logging.js';
import type { RetryRule } from './wait.js';

/** A way in which a hub's messages travel. */
export type TransportName = 'webSockets' | 'serverSentEvents' | 'longPolling';

const transportNames: readonly TransportName[] = ['webSockets', 'serverSentEvents', 'longPolling'];

type Text<T extends string> = T | (string & {}); // completes T, and takes any case

/** How live progress is followed. Names and defaults are those of the configuration guide. */
export interface SignalROptions {
  /** `true`. With `false` no hub is ever connected to: events come by the REST side's event stream, else by polling. */
  enabled?: boolean;
  /** `true`: the connection opens with the first watch and closes with the last. `false`: only `connect()` opens it. */
  autoConnect?: boolean;
  /** `3`: how often a connection is tried again, the first one included. `Infinity` never gives up. */
  reconnectAttempts?: number;
  /** `5000` milliseconds before the first attempt; later ones wait twice as long each, less up to a quarter at random. */
  reconnectInterval?: number;
  /** `'exponential'`; with `'constant'` every attempt waits `reconnectInterval`, exactly. */
  reconnectBackoff?: Text<'exponential' | 'constant'>;
  /** `30000` milliseconds: no attempt waits longer, `reconnectInterval` itself aside. */
  maxReconnectInterval?: number;
  /** `'error'`: after the last attempt a watch ends with a `ConnectionError`. `'poll'`: it goes on over REST. */
  afterLastAttempt?: Text<'error' | 'poll'>;
  /** `['webSockets', 'serverSentEvents']`, in any case; `'longPolling'` is the third. */
  transports?: readonly Text<TransportName>[];
  /** `'Information'`: one of the seven levels of ASP.NET Core, in any case. */
  logLevel?: Text<LogLevel>;
  /** `30000` milliseconds of silence until the connection counts as lost. The server is told, and pings often enough. */
  serverTimeout?: number;
}

/** What `new ConduitCoreClient` takes. */
export interface ClientOptions {
  /**
   * The virtual key, or a function that gives it. Left out: `CONDUIT_API_KEY` of the environment; in a browser none is
   * sent, so that the cookie of the page's own origin counts.
   */
  apiKey?: string | (() => string | Promise<string>);
  /** Where Conduit is. Left out: in a browser the page's origin, else `CONDUIT_BASE_URL`, else `https://api.conduit.ai`. */
  baseURL?: string;
  signalR?: SignalROptions;
  /** `false`; `true` also logs requests and answers, with keys and tokens blotted out. */
  debug?: boolean;
  /** `console`. */
  logger?: Logger;
  /** `60000` milliseconds for each request, and for the opening of a hub's connection; `0`: no limit. */
  timeout?: number;
  /** `2`: how often a request is tried again. A POST carries an idempotency key, so nothing is bought twice. */
  maxRetries?: number;
  /** `2000` milliseconds between two requests where a task is followed by polling. */
  pollInterval?: number;
  /** The global `fetch`. */
  fetch?: typeof globalThis.fetch;
}

/** Options, checked and complete. */
export interface Settings {
  readonly apiKey: (() => Promise<string>) | undefined;
  /** Ends with a slash. */
  readonly baseURL: string;
  readonly signalR: {
    readonly enabled: boolean;
    readonly autoConnect: boolean;
    readonly retry: RetryRule;
    readonly poll: boolean;
    readonly transports: readonly TransportName[];
    readonly serverTimeout: number;
  };
  readonly log: Log;
  readonly timeout: number;
  readonly maxRetries: number;
  readonly pollInterval: number;
  readonly fetch: typeof globalThis.fetch;
}

/** What timers can wait, in milliseconds. */
export const longestTimer = 2 ** 31 - 1;

/** shown is a value as a message quotes it; strings may be keys, so they are not quoted where secret. */
function shown(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 60 ? value.slice(0, 60) + '…' : value}'`;
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

function refuse(option: string, allowed: string, value?: unknown): never {
  throw new InvalidOptionError(option, `${option} must be ${allowed}${value === undefined ? '' : `, not ${shown(value)}`}.`);
}

/** record checks that a value is an object without other names than those. */
export function record<T extends object>(option: string, value: T | undefined, names: readonly string[]): T {
  if (value === undefined) return {} as T;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(option, 'an object', value);
  for (const name of Object.keys(value)) {
    if (!names.includes(name)) {
      const path = option === 'options' ? name : `${option}.${name}`;
      throw new InvalidOptionError(path, `There is no option ${path}. Known are: ${names.join(', ')}.`);
    }
  }
  return value;
}

function flag(option: string, value: boolean | undefined, otherwise: boolean): boolean {
  if (value === undefined) return otherwise;
  return typeof value === 'boolean' ? value : refuse(option, 'true or false', value);
}

/** number checks a number option. */
export function number(
  option: string,
  value: number | undefined,
  otherwise: number,
  { min, max, whole = false, unit = '' }: { min: number; max: number; whole?: boolean; unit?: string },
): number {
  if (value === undefined) return otherwise;
  if (typeof value !== 'number' || !(value >= min && value <= max) || (whole && value !== Infinity && !Number.isInteger(value))) {
    refuse(option, `a ${whole ? 'whole ' : ''}number${unit} from ${min} to ${max}`, value);
  }
  return value;
}

function oneOf<T extends string>(option: string, value: string | undefined, otherwise: T, words: readonly T[]): T {
  if (value === undefined) return otherwise;
  const found = typeof value === 'string' && words.find((word) => word.toLowerCase() === value.toLowerCase());
  return found || refuse(option, `one of ${words.join(', ')}`, value);
}

function transports(value: readonly string[] | undefined): readonly TransportName[] {
  if (value === undefined) return ['webSockets', 'serverSentEvents'];
  const allowed = `an array of at least one of ${transportNames.join(', ')}`;
  if (!Array.isArray(value) || value.length === 0) refuse('signalR.transports', allowed, value);
  const named = value.map((name, i) => oneOf(`signalR.transports[${i}]`, name ?? null, 'webSockets', transportNames));
  return transportNames.filter((name) => named.includes(name)); // in the order in which they are tried
}

function environment(name: string): string | undefined {
  return (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env?.[name] || undefined;
}

/** pageOrigin is the origin of a page or of its worker, if this is one. */
function pageOrigin(): string | undefined {
  const origin = (globalThis as { location?: { origin?: string } }).location?.origin;
  return origin && /^https?:/.test(origin) ? origin : undefined;
}

function base(value: string | undefined): string {
  const text = value === undefined ? (pageOrigin() ?? environment('CONDUIT_BASE_URL') ?? 'https://api.conduit.ai') : value;
  const allowed = 'an absolute http or https address without query, such as https://api.conduit.ai';
  if (typeof text !== 'string') refuse('baseURL', allowed, text);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return refuse('baseURL', allowed, text);
  }
  // What is refused here may hold a password, so it is not shown.
  if (!/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) refuse('baseURL', allowed);
  return url.origin + url.pathname.replace(/\/*$/, '/');
}

/** keyText checks a key; its text appears in no message. */
function keyText(value: unknown): string {
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) {
    refuse('apiKey', 'a virtual key: text of printable ASCII characters without spaces');
  }
  return value;
}

function apiKey(value: ClientOptions['apiKey'], log: Log): (() => Promise<string>) | undefined {
  const known = (key: unknown) => (log.key = keyText(key));
  if (typeof value === 'function') return async () => known(await value());
  const text = value === undefined ? environment('CONDUIT_API_KEY') : value;
  if (text === undefined) {
    return pageOrigin() ? undefined : refuse('apiKey', 'given: a virtual key, or CONDUIT_API_KEY in the environment');
  }
  known(text);
  return () => Promise.resolve(text);
}

const names = ['apiKey', 'baseURL', 'signalR', 'debug', 'logger', 'timeout', 'maxRetries', 'pollInterval', 'fetch'];
const signalRNames = [
  'enabled', 'autoConnect', 'reconnectAttempts', 'reconnectInterval', 'transports', 'logLevel',
  'reconnectBackoff', 'maxReconnectInterval', 'afterLastAttempt', 'serverTimeout',
]; // prettier-ignore

/** settings checks what a client is told and fills in the rest; it throws an InvalidOptionError. */
export function settings(given: ClientOptions | undefined): Settings {
  const o = record('options', given, names);
  const s = record('signalR', o.signalR, signalRNames);
  const logger = o.logger === undefined ? console : o.logger;
  if (typeof logger !== 'object' || logger === null || !(['debug', 'info', 'warn', 'error'] as const).every((f) => typeof logger[f] === 'function')) {
    refuse('logger', 'an object with the functions debug, info, warn and error', logger);
  }
  if (o.fetch !== undefined && typeof o.fetch !== 'function') refuse('fetch', 'a function', o.fetch);
  const log = new Log(
    logger,
    oneOf('signalR.logLevel', s.logLevel, 'Information', logLevels),
    flag('debug', o.debug, false),
  );
  const milliseconds = { max: longestTimer, unit: ' of milliseconds' };
  const interval = number('signalR.reconnectInterval', s.reconnectInterval, 5000, { min: 0, ...milliseconds });
  const longest = number('signalR.maxReconnectInterval', s.maxReconnectInterval, 30_000, { min: 0, ...milliseconds });
  const { fetch } = o;
  return {
    log,
    apiKey: apiKey(o.apiKey, log),
    baseURL: base(o.baseURL),
    signalR: {
      enabled: flag('signalR.enabled', s.enabled, true),
      autoConnect: flag('signalR.autoConnect', s.autoConnect, true),
      retry: {
        attempts: number('signalR.reconnectAttempts', s.reconnectAttempts, 3, { min: 0, max: Infinity, whole: true }),
        interval,
        longest: Math.max(interval, longest),
        constant: oneOf('signalR.reconnectBackoff', s.reconnectBackoff, 'exponential', ['exponential', 'constant']) === 'constant',
      },
      poll: oneOf('signalR.afterLastAttempt', s.afterLastAttempt, 'error', ['error', 'poll']) === 'poll',
      transports: transports(s.transports),
      serverTimeout: number('signalR.serverTimeout', s.serverTimeout, 30_000, { ...milliseconds, min: 1500, max: 86_400_000 }),
    },
    timeout: number('timeout', o.timeout, 60_000, { min: 0, ...milliseconds }),
    maxRetries: number('maxRetries', o.maxRetries, 2, { min: 0, max: 100, whole: true }),
    pollInterval: number('pollInterval', o.pollInterval, 2000, { min: 100, ...milliseconds }),
    // Looked up at each call, so that what replaces the global one counts.
    fetch: fetch ?? ((input, init) => globalThis.fetch(input, init)),
  };
}
