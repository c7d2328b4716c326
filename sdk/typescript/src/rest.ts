// Requests: a time limit, retries that never buy twice, errors by class.

import { apiError, ConnectionError, InvalidOptionError, TimeoutError, type ConduitError } from './errors.js';
import { say } from './logging.js';
import { longestTimer, number, record, type Settings } from './options.js';
import { follow, sleep } from './wait.js';

/** What every call takes. */
export interface CallOptions {
  /** Ends the call; it rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Milliseconds for each request; default: the client's. */
  timeout?: number;
}

/** What calls take that make something. */
export interface PostOptions extends CallOptions {
  /**
   * The same key, within a day, gets what the first call made. Left out: a new one for each call, which its own
   * retries share. 1 to 255 printable ASCII characters.
   */
  idempotencyKey?: string;
}

export const callNames: readonly string[] = ['signal', 'timeout'];
export const postNames: readonly string[] = [...callNames, 'idempotencyKey'];

/** checkSignal refuses what is no AbortSignal. */
export function checkSignal(signal: unknown): void {
  if (signal !== undefined && !(typeof signal === 'object' && signal !== null && 'aborted' in signal && 'addEventListener' in signal)) {
    throw new InvalidOptionError('signal', 'signal must be an AbortSignal.');
  }
}

/** checkCall refuses what the options of a call cannot be. */
export function checkCall(options: PostOptions | undefined, names = callNames): void {
  const o = record('call options', options as object, names) as PostOptions;
  checkSignal(o.signal);
  number('timeout', o.timeout, 0, { min: 0, max: longestTimer, unit: ' of milliseconds' });
  if (o.idempotencyKey !== undefined && !(typeof o.idempotencyKey === 'string' && /^[\x20-\x7e]{1,255}$/.test(o.idempotencyKey))) {
    throw new InvalidOptionError('idempotencyKey', 'idempotencyKey must be text of 1 to 255 printable ASCII characters.');
  }
}

export interface Call extends PostOptions {
  method: 'GET' | 'POST' | 'DELETE';
  /** Relative to the base, without a slash in front. */
  path: string;
  body?: unknown;
  /** A field that the answer has if it is Conduit's. */
  holds: string;
}

/** An answer and the name of its request. */
export interface Answer<T> {
  value: T;
  requestId: string | undefined;
}

const longestRetryAfter = 60_000; // milliseconds; who must wait longer is told so instead

/** requestName is a new name for a request, which the server repeats in its answer and its log. */
export function requestName(): string {
  return `sdk_${randomText()}`;
}

function randomText(): string {
  const crypto = (globalThis as { crypto?: { getRandomValues(a: Uint8Array): Uint8Array } }).crypto;
  const bytes = new Uint8Array(16);
  if (crypto) crypto.getRandomValues(bytes);
  else bytes.forEach((_, i) => (bytes[i] = Math.random() * 256));
  return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
}

export class Rest {
  constructor(readonly settings: Settings) {}

  /** call gives the JSON of an answer. */
  async call<T>(call: Call): Promise<Answer<T>> {
    const requestId = requestName();
    const idempotencyKey = call.method === 'POST' ? (call.idempotencyKey ?? `sdk-${randomText()}`) : undefined;
    let body: string | undefined;
    try {
      body = call.body === undefined ? undefined : JSON.stringify(call.body);
    } catch (error) {
      throw new InvalidOptionError('request', `The request cannot be written as JSON: ${say(error)}`);
    }
    for (let attempt = 0; ; attempt++) {
      call.signal?.throwIfAborted();
      const made = await this.attempt<T>(call, requestId, idempotencyKey, body);
      if ('value' in made) return made;
      if (!made.again || attempt >= this.settings.maxRetries) throw made.error;
      const delay = made.after ?? Math.min(500 * 2 ** attempt, 8000) * (1 - Math.random() / 4);
      if (delay > longestRetryAfter) throw made.error;
      this.settings.log.traffic(`${call.method} ${call.path}: again in ${Math.round(delay)} ms: ${made.error.message}`);
      await sleep(delay, call.signal);
    }
  }

  /** headers are those of every request. */
  async headers(requestId: string): Promise<Record<string, string>> {
    const key = await this.settings.apiKey?.();
    return { ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }), 'X-Request-Id': requestId };
  }

  private async attempt<T>(
    call: Call,
    requestId: string,
    idempotencyKey: string | undefined,
    body: string | undefined,
  ): Promise<Answer<T> | { error: ConduitError; again: boolean; after: number | undefined }> {
    const { log, fetch, baseURL } = this.settings;
    const timeout = call.timeout ?? this.settings.timeout;
    const url = baseURL + call.path;
    const { controller, release } = follow(call.signal);
    const late = new TimeoutError(`${call.method} ${url} was not answered within ${timeout} ms.`, { requestId });
    const timer = timeout > 0 ? setTimeout(() => controller.abort(late), timeout) : undefined;
    try {
      const headers = await this.headers(requestId);
      headers['Accept'] = 'application/json';
      if (body !== undefined) headers['Content-Type'] = 'application/json';
      if (idempotencyKey !== undefined) headers['Idempotency-Key'] = idempotencyKey;
      log.traffic(`${call.method} ${url} ${body ?? ''}`);
      const response = await fetch(url, {
        method: call.method,
        headers,
        cache: 'no-store',
        signal: controller.signal,
        ...(body === undefined ? {} : { body }),
      });
      const text = await response.text();
      log.traffic(`${call.method} ${url}: ${response.status} ${text}`);
      const told = response.headers.get('x-request-id') ?? requestId;
      if (!response.ok) return failure(call, url, response, text, told);
      const value = parse(text);
      if (typeof value === 'object' && value !== null && call.holds in value) return { value: value as T, requestId: told };
      return { error: strange(call.method, url, response, told), again: false, after: undefined };
    } catch (error) {
      if (call.signal?.aborted) throw call.signal.reason;
      if (error instanceof InvalidOptionError) throw error;
      if (controller.signal.aborted) return { error: late, again: true, after: undefined };
      const unreached = new ConnectionError(`${call.method} ${url}: the server cannot be reached (${reason(error)}).`, {
        requestId,
        cause: error,
      });
      return { error: unreached, again: true, after: undefined };
    } finally {
      clearTimeout(timer);
      release();
    }
  }
}

/** reason digs out what fetch hides below "fetch failed". */
function reason(error: unknown): string {
  const cause = error instanceof Error ? (error.cause as { code?: string; message?: string } | undefined) : undefined;
  return cause?.code ?? cause?.message ?? say(error);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const kindOf = (response: Response) => response.headers.get('content-type')?.split(';')[0] || 'no content type';

/** strange is an answer that says yes and is none of Conduit's. */
function strange(method: string, url: string, response: Response, requestId: string): ConnectionError {
  return new ConnectionError(
    `${method} ${url} was answered with ${response.status} and ${kindOf(response)}, which is no answer of Conduit's. Is baseURL right, or does a proxy answer in Conduit's place?`,
    { requestId },
  );
}

function failure(call: Pick<Call, 'method'>, url: string, response: Response, text: string, requestId: string) {
  const after = retryAfter(response.headers);
  const error = refusal(call.method, url, response, text, requestId);
  const told = response.headers.get('x-should-retry');
  const { status } = response;
  const again = told === 'true' || (told !== 'false' && (status === 408 || status === 409 || status === 429 || status >= 500));
  return { error, again, after };
}

/** refusal is the error that an answer stands for. */
export function refusal(method: string, url: string, response: Response, text: string, requestId: string): ConduitError {
  const envelope = (parse(text) as { error?: unknown } | null | undefined)?.error;
  const told = (typeof envelope === 'object' && envelope !== null ? envelope : {}) as Record<string, unknown>;
  const word = (name: string) => (typeof told[name] === 'string' ? told[name] : '');
  const message = word('message') || `${method} ${url} was answered with ${response.status} and ${kindOf(response)}.`;
  return apiError(
    message,
    { status: response.status, code: word('code'), type: word('type'), param: word('param') || null, requestId },
    retryAfter(response.headers),
  );
}

/** retryAfter is the wait that an answer asks for, in milliseconds. */
export function retryAfter(headers: Headers, now = Date.now()): number | undefined {
  const exact = headers.get('retry-after-ms');
  if (exact !== null && /^\d+(\.\d+)?$/.test(exact)) return Number(exact);
  const text = headers.get('retry-after');
  if (text === null) return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
