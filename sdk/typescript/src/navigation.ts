// The navigation hub: what can be used now, and where one's tasks stand.

import { HubConnectionState } from '@microsoft/signalr';
import { call, refusalOf, type Connection } from './connection.js';
import type { ModelAvailability, NavigationState } from './contract.js';
import { ConnectionError, InvalidOptionError, type ConduitError } from './errors.js';
import { Feed } from './feed.js';
import { Link } from './link.js';
import { say } from './logging.js';
import { record, type Settings } from './options.js';
import { checkCall } from './rest.js';
import { Backoff, onAbort } from './wait.js';

/** What the navigation hub tells; `eventType` says which. */
export type NavigationEvent = NavigationState | ModelAvailability;

/** What `navigation.watch` takes. Callbacks that throw are logged. */
export interface NavigationWatchOptions {
  /** Ends the watch; iterating rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Ids of models whose single changes are told too. */
  models?: readonly string[];
  onState?: (state: NavigationState) => void;
  onModel?: (model: ModelAvailability) => void;
  /** The watch ended by itself. */
  onError?: (error: unknown) => void;
}

const names = ['signal', 'models', 'onState', 'onModel', 'onError'];

/** Who watches. */
interface Sink {
  readonly models: readonly string[];
  event(event: NavigationEvent): void;
  failed(error: ConduitError): void;
}

const isDate = /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/;

/** revive makes dates of the times in what the hub sends. */
function revive(value: unknown, name = ''): unknown {
  if (typeof value === 'string') return (name === 'timestamp' || name.endsWith('At')) && isDate.test(value) ? new Date(value) : value;
  if (Array.isArray(value)) return value.map((item) => revive(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, revive(inner, key)]));
}

function decode(payload: unknown): NavigationEvent | undefined {
  const event = revive(payload) as Partial<NavigationEvent> | null;
  if (typeof event !== 'object' || event === null || !(event.timestamp instanceof Date)) return undefined;
  if (event.eventType === 'NavigationStateUpdated' && Number.isSafeInteger(event.revision)) return event as NavigationState;
  if (event.eventType === 'ModelAvailabilityChanged' && typeof event.modelId === 'string') return event as ModelAvailability;
  return undefined;
}

/** A model that is watched. */
interface Watched {
  by: number; // sinks
  readonly backoff: Backoff;
}

export class NavigationLink extends Link {
  private readonly sinks = new Set<Sink>();
  private readonly models = new Map<string, Watched>();
  private newest: NavigationState | undefined;

  constructor(settings: Settings) {
    super(settings, 'hubs/navigation-state', 'navigation');
  }

  watch(sink: Sink): () => void {
    const refusal = this.refusal();
    if (refusal) {
      sink.failed(refusal);
      return () => {};
    }
    this.sinks.add(sink);
    for (const id of sink.models) {
      const watched = this.models.get(id);
      if (watched) watched.by++;
      else this.models.set(id, { by: 1, backoff: new Backoff(this.settings.signalR.retry) });
      // Asked for by each, because the answer is how the model stands.
      if (this.current) void this.ask(this.current, id);
    }
    if (this.newest && this.current) sink.event(this.newest);
    this.ensure();
    return () => this.release(sink);
  }

  private release(sink: Sink): void {
    if (!this.sinks.delete(sink)) return;
    for (const id of sink.models) {
      const watched = this.models.get(id);
      if (!watched || --watched.by > 0) continue;
      this.models.delete(id);
      if (this.current) call(this.current, 'UnsubscribeFromModel', id).catch(() => {});
    }
    this.rest();
  }

  protected override get used(): boolean {
    return this.sinks.size > 0;
  }

  protected override listen(connection: Connection): void {
    for (const name of ['NavigationStateUpdated', 'ModelAvailabilityChanged']) {
      connection.hub.on(name, (payload: unknown) => {
        this.backoff.reset();
        const event = decode(payload);
        if (!event) return this.settings.log.write('Debug', `An event of /${this.path} that is not known here was passed over.`);
        if (event.eventType === 'NavigationStateUpdated' && event.revision >= (this.newest?.revision ?? 0)) this.newest = event;
        for (const sink of [...this.sinks]) {
          if (event.eventType === 'NavigationStateUpdated' || sink.models.includes(event.modelId)) sink.event(event);
        }
      });
    }
  }

  protected override begin(connection: Connection): void {
    for (const id of this.models.keys()) void this.ask(connection, id);
  }

  protected override fail(error: ConduitError): void {
    const sinks = [...this.sinks];
    this.sinks.clear();
    this.models.clear();
    this.newest = undefined;
    for (const sink of sinks) sink.failed(error);
  }

  private async ask(connection: Connection, id: string): Promise<void> {
    const watched = this.models.get(id);
    if (!watched) return; // not any more
    try {
      await call(connection, 'SubscribeToModel', id);
      watched.backoff.reset();
    } catch (error) {
      if (this.current !== connection || connection.hub.state !== HubConnectionState.Connected) return; // the next connection asks again
      if (this.models.get(id) !== watched) return;
      const refusal = refusalOf(connection, say(error));
      // Where the server says when, it does not count as an attempt.
      const delay = refusal.kind !== 'again' ? undefined : refusal.after || watched.backoff.next();
      if (delay !== undefined) return this.later(delay, () => void this.ask(connection, id));
      const failed =
        refusal.kind === 'final' ? refusal.error : new ConnectionError(`The model ${id} cannot be watched: ${say(error)}`, { requestId: connection.requestId });
      for (const sink of [...this.sinks]) if (sink.models.includes(id)) sink.failed(failed);
    }
  }
}

/** A watch of the navigation hub: an async iterable. It goes on until `close()`, its signal, or an error. */
export class NavigationWatch implements AsyncIterable<NavigationEvent> {
  private ended = false;
  private revision = -1;
  private readonly feed = new Feed<NavigationEvent>();
  private deaf: (() => void) | undefined;
  private release: (() => void) | undefined;

  /** @internal */
  constructor(
    private readonly settings: Settings,
    link: NavigationLink,
    private readonly options: NavigationWatchOptions,
  ) {
    const { signal, models = [] } = options;
    if (signal && !signal.aborted) this.deaf = onAbort(signal, () => this.fail(signal.reason));
    // Not at once, so that callbacks find what `watch` returned.
    queueMicrotask(() => {
      if (signal?.aborted) this.fail(signal.reason);
      if (this.ended) return;
      this.release = link.watch({ models: [...models], event: (event) => this.take(event), failed: (error) => this.fail(error) });
      if (this.ended) this.release();
    });
  }

  /** close ends the watch. */
  close(): void {
    if (this.ended) return;
    this.ended = true;
    this.deaf?.();
    this.release?.();
    this.feed.end();
  }

  [Symbol.asyncIterator](): AsyncIterator<NavigationEvent, void, undefined> {
    return this.feed.iterate(() => this.close());
  }

  private take(event: NavigationEvent): void {
    if (this.ended) return;
    if (event.eventType === 'NavigationStateUpdated') {
      // A new connection tells the state at once; the same once more is no news.
      if (event.revision <= this.revision) return;
      this.revision = event.revision;
    }
    // Of what waits to be read only the newest of its kind and model counts.
    const about = (e: NavigationEvent) => (e.eventType === 'ModelAvailabilityChanged' ? e.modelId : '');
    this.feed.push(event, (waiting) => waiting.eventType === event.eventType && about(waiting) === about(event));
    this.tell(() => (event.eventType === 'NavigationStateUpdated' ? this.options.onState?.(event) : this.options.onModel?.(event)));
  }

  private fail(error: unknown): void {
    if (this.ended) return;
    this.feed.fail(error);
    this.close();
    this.tell(() => this.options.onError?.(error));
  }

  private tell(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.settings.log.write('Error', `A callback of a watch failed: ${say(error)}`);
    }
  }
}

/** `client.navigation`: which kinds and models can be used now, and the key's tasks by state. It needs the hub. */
export class Navigation {
  /** @internal */
  constructor(
    private readonly settings: Settings,
    private readonly link: NavigationLink,
  ) {}

  /** watch tells the whole state, at once and whenever it changed, at most once a second. */
  watch(options: NavigationWatchOptions = {}): NavigationWatch {
    const o = record('watch options', options, names);
    checkCall(o.signal ? { signal: o.signal } : {});
    if (o.models !== undefined && !(Array.isArray(o.models) && o.models.every((id) => typeof id === 'string' && id !== ''))) {
      throw new InvalidOptionError('models', 'models must be an array of ids of models.');
    }
    for (const name of ['onState', 'onModel', 'onError'] as const) {
      if (o[name] !== undefined && typeof o[name] !== 'function') throw new InvalidOptionError(name, `${name} must be a function.`);
    }
    if (!this.settings.signalR.enabled) {
      throw new InvalidOptionError('signalR.enabled', 'signalR.enabled is false: the navigation state comes over its hub only.');
    }
    return new NavigationWatch(this.settings, this.link, o);
  }

  /** state is the state as it is now. */
  async state(options: { signal?: AbortSignal } = {}): Promise<NavigationState> {
    for await (const event of this.watch(options)) if (event.eventType === 'NavigationStateUpdated') return event;
    throw new ConnectionError('The watch ended before a state came.');
  }
}
