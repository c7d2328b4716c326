// One attempt at a hub connection, made with the official client. Everything
// that is known of that client's habits is in this file.

import {
  DefaultHttpClient,
  HttpClient,
  HttpTransportType,
  HubConnectionBuilder,
  type HttpRequest,
  type HttpResponse,
  type HubConnection,
  type ILogger,
} from '@microsoft/signalr';
import type { hubs } from './contract.js';
import { apiError, ConnectionError, InvalidOptionError, TimeoutError, type ConduitError } from './errors.js';
import { logLevels, say } from './logging.js';
import { longestTimer, type Settings, type TransportName } from './options.js';
import { requestName } from './rest.js';
import { follow, sleep } from './wait.js';

const transportBits: Record<TransportName, HttpTransportType> = {
  webSockets: HttpTransportType.WebSockets,
  serverSentEvents: HttpTransportType.ServerSentEvents,
  longPolling: HttpTransportType.LongPolling,
};

/** A connection, and what its requests were refused with. */
export interface Connection {
  readonly hub: HubConnection;
  readonly requestId: string;
  /** HTTP status of the newest refusal that says something of the hub or the key; 0: none. */
  refused(): number;
  /** The server has answered; what did not come about is the transport. */
  negotiated(): boolean;
  /** The key was none; undefined: it may be one. */
  badKey(): InvalidOptionError | undefined;
  /** start opens it. It rejects when that fails, does not come about in time, or the signal ends it. */
  start(signal: AbortSignal): Promise<void>;
  /** stop closes it. It never rejects, and waits no longer than for a moment. */
  stop(): Promise<void>;
}

/** WatchedHttp is the official client's HTTP, which also remembers refusals, tells of requests, and can be given up. */
class WatchedHttp extends HttpClient {
  refused = 0;
  negotiated = false;
  private readonly http: HttpClient;
  private readonly pending = new Set<AbortController>();

  constructor(
    logger: ILogger,
    private readonly settings: Settings,
  ) {
    super();
    this.http = new DefaultHttpClient(logger);
  }

  override async send(request: HttpRequest): Promise<HttpResponse> {
    const { log } = this.settings;
    log.traffic(`${request.method} ${request.url}`);
    const controller = new AbortController();
    this.pending.add(controller);
    try {
      const response = await this.http.send(request.abortSignal ? request : { ...request, abortSignal: controller.signal as unknown as NonNullable<HttpRequest['abortSignal']> });
      if (negotiation.test(request.url ?? '')) this.negotiated = true;
      const content = typeof response.content === 'string' ? response.content : '';
      log.traffic(`${request.method} ${request.url}: ${response.statusCode} ${content}`);
      return response;
    } catch (error) {
      const status = (error as { statusCode?: unknown }).statusCode;
      // A poll's 404 speaks of its connection, which a restarted server does not know; not of the hub.
      if (typeof status === 'number' && (negotiation.test(request.url ?? '') || status === 401 || status === 403)) this.refused = status;
      log.traffic(`${request.method} ${request.url}: ${say(error)}`);
      throw error;
    } finally {
      this.pending.delete(controller);
    }
  }

  /** giveUp ends the requests that are under way. */
  giveUp(): void {
    for (const controller of this.pending) controller.abort();
  }

  override getCookieString(url: string): string {
    return this.http.getCookieString(url);
  }
}

const negotiation = /\/negotiate\?/;
const farewell = 5000; // milliseconds that a close may take

/** open prepares a connection to a hub by some of the transports; start is for the caller. */
export function open(settings: Settings, path: string, transports: readonly TransportName[]): Connection {
  const { signalR, log, apiKey, timeout } = settings;
  const logger: ILogger = { log: (level, message) => log.write(logLevels[level] ?? 'None', message) };
  const http = new WatchedHttp(logger, settings);
  const requestId = requestName();
  let badKey: InvalidOptionError | undefined; // of what is thrown to it, the official client hands on the words only
  const key = async () => {
    try {
      return (await apiKey?.()) ?? '';
    } catch (error) {
      if (error instanceof InvalidOptionError) badKey = error;
      throw error;
    }
  };
  const hub = new HubConnectionBuilder()
    .withUrl(`${settings.baseURL}${path}?serverTimeout=${Math.round(signalR.serverTimeout)}`, {
      transport: transports.reduce((bits, name) => bits | transportBits[name], HttpTransportType.None),
      httpClient: http,
      headers: { 'X-Request-Id': requestId },
      timeout,
      ...(apiKey ? { accessTokenFactory: key } : {}),
    })
    .withServerTimeout(signalR.serverTimeout)
    .configureLogging(logger)
    .build();

  return {
    hub,
    requestId,
    refused: () => http.refused,
    negotiated: () => http.negotiated,
    badKey: () => badKey,
    start: async (signal) => {
      const started = hub.start();
      try {
        await within(started, timeout || longestTimer, requestId, signal);
      } catch (error) {
        // The official client's start waits for as long as the network does, and so does its stop meanwhile.
        started.catch(() => {});
        hub.stop().catch(() => {});
        http.giveUp();
        throw error;
      }
    },
    stop: () => within(hub.stop(), farewell, requestId).catch(() => {}),
  };
}

/** within settles as what it is given, or rejects when the time is over or the signal ends it. */
async function within(work: Promise<void>, milliseconds: number, requestId: string, signal?: AbortSignal): Promise<void> {
  const { controller, release } = follow(signal);
  const limit = sleep(milliseconds, controller.signal).then(() => {
    throw new TimeoutError(`It did not open within ${milliseconds} ms.`, { requestId });
  });
  try {
    await Promise.race([work, limit]);
  } finally {
    release();
    controller.abort();
  }
}

/** Why there is no connection. */
export interface Reason {
  error: ConduitError;
  /** Trying again would bring the same. */
  final: boolean;
  /** There is no such hub here; the REST side may still do. */
  missing: boolean;
  /** The transport did not open in time. */
  late: boolean;
}

const keyEnded = /API key is not valid any more|An API key is needed/i;
const lacksScope = /API key lacks the scope/i;

/** reasonOf says why a connection could not be made, or was lost. */
export function reasonOf(connection: Connection, path: string, cause: unknown): Reason {
  const { requestId } = connection;
  const text = cause === undefined ? 'the server closed it.' : sentence(say(cause));
  let status = connection.refused();
  if (keyEnded.test(text)) status = 401;
  else if (lacksScope.test(text)) status = 403;
  const late = cause instanceof TimeoutError && connection.negotiated();
  const final = (error: ConduitError): Reason => ({ error, final: true, missing: status === 404, late });
  const badKey = connection.badKey();
  if (badKey) return final(badKey);
  const details = { status, param: null, requestId, cause };
  if (status === 401) return final(apiError('The API key is not valid, or not any more.', { ...details, code: 'invalid_api_key', type: 'authentication_error' }));
  if (status === 403) return final(apiError(`The API key may not use /${path}.`, { ...details, code: 'insufficient_scope', type: 'permission_error' }));
  const error = new ConnectionError(`There is no connection to /${path}: ${text}`, { requestId, cause });
  return { ...final(error), final: status === 404 };
}

const sentence = (text: string) => (/[.!?]$/.test(text) ? text : `${text}.`);

type Method = { [Hub in keyof typeof hubs]: (typeof hubs)[Hub]['methods'][number] }[keyof typeof hubs];

/** call invokes a method of the hub, one that there is. */
export function call(connection: Connection, method: Method, ...args: unknown[]): Promise<unknown> {
  return connection.hub.invoke<unknown>(method, ...args);
}

/** What a failed call of a hub's method means for a task. */
export type Refusal =
  | { kind: 'final'; error: ConduitError }
  /** Milliseconds, where the server says how long to wait. */
  | { kind: 'again'; after: number }
  | { kind: 'unknown method' };

/** Statuses by the codes of SubscribeToTasks. */
const statuses: Record<string, number> = {
  task_not_found: 404,
  invalid_request: 400,
  too_many_subscriptions: 429,
  invalid_api_key: 401,
  insufficient_scope: 403,
};

/** Codes by what calls for one task say, which have none. */
const sayings: [RegExp, string][] = [
  [/no such task/i, 'task_not_found'],
  [/^(taskId|afterSequence) /, 'invalid_request'],
  [/watches too many tasks/i, 'too_many_subscriptions'],
  [keyEnded, 'invalid_api_key'],
  [lacksScope, 'insufficient_scope'],
];

/** refusalOf judges what a hub said of a call, or of one task of it. */
export function refusalOf(connection: Connection, text: string, code?: string): Refusal {
  const said = text.replace(/^.*?HubException: /s, '');
  if (/method does not exist/i.test(said)) return { kind: 'unknown method' };
  const known = code ?? sayings.find(([pattern]) => pattern.test(said))?.[1] ?? '';
  const status = statuses[known];
  if (status === undefined) return { kind: 'again', after: Number(/try again in ([\d.]+) s/i.exec(said)?.[1] ?? 0) * 1000 };
  const type =
    { 401: 'authentication_error', 403: 'permission_error', 429: 'rate_limit_error' }[status] ?? 'invalid_request_error';
  const details = { status, code: known, type, param: status === 400 ? 'taskId' : null, requestId: connection.requestId };
  return { kind: 'final', error: apiError(said, details) };
}
