// One attempt at a hub connection, made with the official client. Everything
// that is known of that client's habits is in this file.

import {
  DefaultHttpClient,
  HttpClient,
  HttpTransportType,
  HubConnectionBuilder,
  LogLevel as SignalRLevel,
  type HttpRequest,
  type HttpResponse,
  type HubConnection,
  type ILogger,
} from '@microsoft/signalr';
import { apiError, ConduitError, ConnectionError } from './errors.js';
import { logLevels, say } from './logging.js';
import type { Settings, TransportName } from './options.js';
import { requestName } from './rest.js';

const transportBits: Record<TransportName, HttpTransportType> = {
  webSockets: HttpTransportType.WebSockets,
  serverSentEvents: HttpTransportType.ServerSentEvents,
  longPolling: HttpTransportType.LongPolling,
};

/** A connection, and what its last failed request was answered with. */
export interface Connection {
  readonly hub: HubConnection;
  readonly requestId: string;
  /** HTTP status of the newest refusal; 0: none. */
  refused(): number;
}

/** Watcher is the official client's HTTP, which also remembers refusals and tells of requests. */
class WatchedHttp extends HttpClient {
  refused = 0;
  private readonly http: HttpClient;

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
    try {
      const response = await this.http.send(request);
      const content = typeof response.content === 'string' ? response.content : '';
      log.traffic(`${request.method} ${request.url}: ${response.statusCode} ${content}`);
      return response;
    } catch (error) {
      const status = (error as { statusCode?: unknown }).statusCode;
      if (typeof status === 'number') this.refused = status;
      log.traffic(`${request.method} ${request.url}: ${say(error)}`);
      throw error;
    }
  }

  override getCookieString(url: string): string {
    return this.http.getCookieString(url);
  }
}

/** open prepares a connection to a hub; start is for the caller. */
export function open(settings: Settings, path: string): Connection {
  const { signalR, log, apiKey } = settings;
  const logger: ILogger = { log: (level, message) => log.write(logLevels[level] ?? 'None', message) };
  const http = new WatchedHttp(logger, settings);
  const requestId = requestName();
  const hub = new HubConnectionBuilder()
    .withUrl(`${settings.baseURL}${path}?serverTimeout=${Math.round(signalR.serverTimeout)}`, {
      transport: signalR.transports.reduce((bits, name) => bits | transportBits[name], HttpTransportType.None),
      httpClient: http,
      headers: { 'X-Request-Id': requestId },
      logger: SignalRLevel.None, // the one below hears the same
      ...(apiKey ? { accessTokenFactory: apiKey } : {}),
    })
    .withServerTimeout(signalR.serverTimeout)
    .configureLogging(logger)
    .build();
  return { hub, requestId, refused: () => http.refused };
}

/** Why there is no connection. */
export interface Reason {
  error: ConduitError;
  /** Trying again would bring the same. */
  final: boolean;
  /** There is no such hub here; the REST side may still do. */
  missing: boolean;
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
  const details = { status, code: '', type: '', param: null, requestId, cause };
  if (cause instanceof ConduitError) return { error: cause, final: true, missing: false };
  if (status === 401) return { error: apiError('The API key is not valid, or not any more.', { ...details, code: 'invalid_api_key', type: 'authentication_error' }), final: true, missing: false };
  if (status === 403) return { error: apiError(`The API key may not use /${path}.`, { ...details, code: 'insufficient_scope', type: 'permission_error' }), final: true, missing: false };
  const error = new ConnectionError(`There is no connection to /${path}: ${text}`, { requestId, cause });
  return { error, final: status === 404, missing: status === 404 };
}

const sentence = (text: string) => (/[.!?]$/.test(text) ? text : `${text}.`);

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
