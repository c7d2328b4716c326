// A hub, as watches see it: one connection for all of them, made when it is
// needed, made again when it is lost, and every watched task taken up where it
// stood.

import { HubConnectionState } from '@microsoft/signalr';
import { open, reasonOf, refusalOf, type Connection } from './connection.js';
import { ConduitError, ConnectionError } from './errors.js';
import { decode, eventNames, isEnd, type Kind, type TaskEvent } from './events.js';
import { say } from './logging.js';
import type { Settings } from './options.js';
import { Backoff, sleep } from './wait.js';

/** Where a hub's connection stands. */
export type ConnectionState = 'disconnected' | 'connecting' | 'connected' | 'reconnecting';

/** A change of a connection. */
export interface ConnectionChange {
  hub: string;
  state: ConnectionState;
  /** Why, when it was lost or given up. */
  error: ConduitError | undefined;
}

/** Who watches a task. */
export interface Sink {
  event(event: TaskEvent): void;
  /** Nothing more comes: the task's end is at or below the sequence that was known. */
  over(): void;
  /** Nothing more comes. With missing, the server has no such hub. */
  failed(error: ConduitError, missing: boolean): void;
}

interface Entry {
  readonly id: string;
  /** What the next subscription begins after. */
  last: number;
  /** What the first subscription began after. */
  origin: number;
  readonly sinks: Set<Sink>;
  /** The newest Progress, and a Started that came after it: what a second watch is told at once. */
  recent: TaskEvent[];
  readonly backoff: Backoff;
}

const batch = 200; // tasks in one call
const linger = 100; // milliseconds that an unused connection stays, for what follows at once

/** A task as SubscribeToTasks takes it and answers for it. */
interface Asked {
  taskId: string;
  afterSequence: number;
}

interface Told {
  taskId?: unknown;
  error?: unknown;
  errorCode?: unknown;
  ended?: unknown;
}

export class HubLink {
  private readonly entries = new Map<string, Entry>();
  private readonly joining = new Set<string>();
  private readonly leaving = new Set<string>();
  private readonly listeners = new Set<(change: ConnectionChange) => void>();
  private flushing = false;
  private single = false; // the server has no SubscribeToTasks
  private pinned = false; // by connect
  private current: Connection | undefined; // while connected
  private readonly backoff: Backoff; // of the connection
  private running: Promise<void> | undefined;
  private stop: AbortController | undefined;
  private idle: ReturnType<typeof setTimeout> | undefined;
  private waiting = new Set<{ resolve: () => void; reject: (error: unknown) => void }>();
  private now: ConnectionState = 'disconnected';

  constructor(
    private readonly settings: Settings,
    private readonly kind: Kind,
    readonly path: string,
  ) {
    this.backoff = new Backoff(settings.signalR.retry);
  }

  get state(): ConnectionState {
    return this.now;
  }

  onChange(listener: (change: ConnectionChange) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** connect opens the connection and keeps it until disconnect, used or not. */
  connect(signal?: AbortSignal): Promise<void> {
    this.pinned = true;
    if (this.current) return Promise.resolve();
    return new Promise<void>((resolve, reject) => {
      const settle = (f: () => void) => () => {
        this.waiting.delete(waiter);
        signal?.removeEventListener('abort', ended);
        f();
      };
      const ended = settle(() => {
        this.pinned = false;
        this.rest();
        reject(signal?.reason as Error);
      });
      const waiter = { resolve: settle(resolve), reject: (error: unknown) => settle(() => reject(error as Error))() };
      this.waiting.add(waiter);
      signal?.addEventListener('abort', ended, { once: true });
      this.ensure();
    });
  }

  /** disconnect ends the connection, and every watch with it. */
  async disconnect(): Promise<void> {
    this.pinned = false;
    this.fail(new ConnectionError(`The connection to /${this.path} was closed by disconnect().`), false);
    this.stop?.abort();
    await this.running;
  }

  /** watch tells sink what happens to a task above a sequence, until the returned function is called. */
  watch(taskId: string, after: number, sink: Sink): () => void {
    if (!this.settings.signalR.autoConnect && !this.pinned) {
      const call = `connect({ hubs: ['${this.kind === 'Video' ? 'videos' : 'images'}'] })`;
      sink.failed(new ConnectionError(`autoConnect is false, and there is no connection to /${this.path}: call ${call} first.`), false);
      return () => {};
    }
    let entry = this.entries.get(taskId);
    if (!entry) {
      entry = { id: taskId, last: after, origin: after, sinks: new Set(), recent: [], backoff: new Backoff(this.settings.signalR.retry) };
      this.entries.set(taskId, entry);
      this.ask(entry);
    } else if (after < entry.origin) {
      // More is wanted than this subscription began with: it begins anew. Sinks pass over what they have.
      entry.last = entry.origin = after;
      entry.recent = [];
      this.leaving.add(taskId);
      this.ask(entry);
    }
    entry.sinks.add(sink);
    for (const event of [...entry.recent]) sink.event(event);
    this.ensure();
    return () => this.release(taskId, entry, sink);
  }

  private release(taskId: string, entry: Entry, sink: Sink): void {
    if (!entry.sinks.delete(sink) || entry.sinks.size > 0 || this.entries.get(taskId) !== entry) return;
    this.entries.delete(taskId);
    // What was not asked for yet need not be taken back.
    if (!this.joining.delete(taskId) || this.leaving.has(taskId)) this.leave(taskId);
    this.rest();
  }

  // --- the connection's life ---

  private get wanted(): boolean {
    return this.pinned || this.entries.size > 0;
  }

  private ensure(): void {
    clearTimeout(this.idle);
    this.idle = undefined;
    if (this.running) return;
    const stop = (this.stop = new AbortController());
    this.running = this.run(stop.signal).finally(() => {
      this.running = this.stop = undefined;
      this.change('disconnected');
      if (this.wanted) this.ensure();
    });
  }

  /** rest lets the connection go when nothing uses it any more. */
  private rest(): void {
    if (this.wanted || !this.running || this.idle !== undefined) return;
    if (!this.current) return void this.stop?.abort();
    this.idle = setTimeout(() => {
      this.idle = undefined;
      if (!this.wanted) this.stop?.abort();
    }, linger);
  }

  /** run keeps a connection until nothing wants it or it cannot be had. */
  private async run(signal: AbortSignal): Promise<void> {
    const { backoff } = this;
    backoff.reset();
    this.change('connecting');
    while (!signal.aborted) {
      const connection = open(this.settings, this.path);
      const lost = this.attach(connection);
      const halt = () => void connection.hub.stop().catch(() => {});
      signal.addEventListener('abort', halt, { once: true });
      let cause: unknown;
      try {
        await connection.hub.start();
        if (!signal.aborted) this.established(connection);
        cause = await lost;
      } catch (error) {
        cause = error;
      } finally {
        signal.removeEventListener('abort', halt);
        this.current = undefined;
      }
      if (signal.aborted) return void (await connection.hub.stop().catch(() => {}));
      const reason = reasonOf(connection, this.path, cause);
      const delay = reason.final ? undefined : backoff.next();
      if (delay === undefined) {
        const { attempts } = backoff;
        this.settings.log.write('Error', reason.error.message);
        const error =
          reason.final || attempts === 0
            ? reason.error
            : new ConnectionError(`${reason.error.message} It was tried again ${attempts} ${attempts === 1 ? 'time' : 'times'}.`, reason.error);
        return this.giveUp(error, reason.missing);
      }
      this.change(this.now === 'connecting' ? 'connecting' : 'reconnecting', reason.error);
      this.settings.log.write('Warning', `${reason.error.message} The next attempt comes in ${Math.round(delay)} ms.`);
      await sleep(delay, signal).catch(() => {});
    }
  }

  /** attach listens to a connection; the promise is its end. */
  private attach(connection: Connection): Promise<unknown> {
    for (const name of eventNames) {
      connection.hub.on(name, (payload: unknown) => {
        this.backoff.reset(); // it works; attempts are counted from here on
        const event = decode(this.kind, payload);
        if (event) this.receive(event);
        else this.settings.log.write('Debug', `An event of /${this.path} that is not known here was passed over.`);
      });
    }
    return new Promise((resolve) => connection.hub.onclose(resolve));
  }

  private established(connection: Connection): void {
    this.current = connection;
    this.leaving.clear(); // a new connection is in no group
    for (const entry of this.entries.values()) this.joining.add(entry.id);
    this.change('connected');
    for (const waiter of [...this.waiting]) waiter.resolve();
    this.flushSoon();
    this.rest(); // what wanted it may be gone
  }

  private giveUp(error: ConduitError, missing: boolean): void {
    this.pinned = false;
    this.change('disconnected', error);
    this.fail(error, missing);
  }

  private fail(error: ConduitError, missing: boolean): void {
    const entries = [...this.entries.values()];
    this.entries.clear();
    this.joining.clear();
    this.leaving.clear();
    for (const waiter of [...this.waiting]) waiter.reject(error);
    for (const entry of entries) for (const sink of entry.sinks) sink.failed(error, missing);
  }

  private change(state: ConnectionState, error?: ConduitError): void {
    if (this.now === state && !error) return;
    this.now = state;
    for (const listener of [...this.listeners]) {
      try {
        listener({ hub: this.path.slice('hubs/'.length), state, error });
      } catch (thrown) {
        this.settings.log.write('Error', `A listener of connection changes failed: ${say(thrown)}`);
      }
    }
  }

  // --- what is watched ---

  private receive(event: TaskEvent): void {
    const entry = this.entries.get(event.taskId);
    if (!entry || event.sequence <= entry.last) return;
    entry.last = event.sequence;
    entry.backoff.reset();
    if (isEnd(event)) {
      this.entries.delete(entry.id);
      this.joining.delete(entry.id);
      if (this.single) this.leave(entry.id);
    } else {
      entry.recent = event.eventType.endsWith('Progress') ? [event] : [...entry.recent.slice(-1), event];
    }
    for (const sink of [...entry.sinks]) sink.event(event);
    this.rest();
  }

  private ask(entry: Entry): void {
    this.joining.add(entry.id);
    this.flushSoon();
  }

  private leave(taskId: string): void {
    if (!this.current) return;
    this.leaving.add(taskId);
    this.flushSoon();
  }

  /** flushSoon gathers what is watched and left at the same moment. */
  private flushSoon(): void {
    if (this.flushing || !this.current) return;
    this.flushing = true;
    queueMicrotask(() => {
      this.flushing = false;
      if (!this.current) return;
      const left = take(this.leaving);
      const joined = take(this.joining);
      // In this order: what is in both is to begin anew.
      for (let i = 0; i < left.length; i += batch) void this.unsubscribe(this.current, left.slice(i, i + batch));
      for (let i = 0; i < joined.length; i += batch) void this.subscribe(this.current, joined.slice(i, i + batch));
    });
  }

  private async unsubscribe(connection: Connection, ids: string[]): Promise<void> {
    try {
      if (!this.single) return void (await connection.hub.invoke('UnsubscribeFromTasks', ids));
    } catch (error) {
      if (refusalOf(connection, say(error)).kind !== 'unknown method') return; // nothing depends on it
      this.single = true;
    }
    for (const id of ids) if (!this.entries.has(id)) connection.hub.invoke('UnsubscribeFromTask', id).catch(() => {});
  }

  private async subscribe(connection: Connection, ids: string[]): Promise<void> {
    const asked = ids.flatMap((id): Asked[] => {
      const entry = this.entries.get(id);
      return entry ? [{ taskId: id, afterSequence: entry.last }] : [];
    });
    if (asked.length === 0) return;
    if (!this.single) {
      try {
        const told = await connection.hub.invoke<unknown>('SubscribeToTasks', asked);
        this.backoff.reset();
        for (const { taskId, error, errorCode, ended } of Array.isArray(told) ? (told as Told[]) : []) {
          if (typeof taskId !== 'string') continue;
          if (typeof error === 'string' && error) this.refused(connection, taskId, error, typeof errorCode === 'string' ? errorCode : undefined);
          else if (ended === true) this.over(taskId);
        }
        return;
      } catch (error) {
        if (refusalOf(connection, say(error)).kind !== 'unknown method') {
          for (const { taskId } of asked) this.refused(connection, taskId, say(error));
          return;
        }
        this.single = true;
      }
    }
    for (const { taskId, afterSequence } of asked) {
      connection.hub
        .invoke('SubscribeToTaskFrom', taskId, afterSequence)
        .then(() => this.backoff.reset())
        .catch((error: unknown) => this.refused(connection, taskId, say(error)));
    }
  }

  /** over ends the watches of a task that has ended, where they were told its end before. */
  private over(taskId: string): void {
    const entry = this.entries.get(taskId);
    if (!entry) return; // as a rule: the end came before the answer
    this.entries.delete(taskId);
    for (const sink of [...entry.sinks]) sink.over();
    this.rest();
  }

  /** refused judges a task's failed subscription: it ends its watches, or is tried again. */
  private refused(connection: Connection, taskId: string, text: string, code?: string): void {
    const entry = this.entries.get(taskId);
    // A lost connection fails its calls too; the next one asks again.
    if (!entry || this.current !== connection || connection.hub.state !== HubConnectionState.Connected) return;
    const refusal = refusalOf(connection, text, code);
    let error: ConduitError;
    if (refusal.kind === 'final') {
      error = refusal.error;
    } else {
      const delay = entry.backoff.next();
      if (delay !== undefined) {
        this.settings.log.write('Warning', `The subscription to ${taskId} failed and is tried again: ${text}`);
        setTimeout(() => {
          if (this.current === connection && this.entries.get(taskId) === entry) this.ask(entry);
        }, Math.max(delay, refusal.kind === 'again' ? refusal.after : 0));
        return;
      }
      error = new ConnectionError(`The subscription to ${taskId} failed: ${text}`, { requestId: connection.requestId });
    }
    this.entries.delete(taskId);
    for (const sink of [...entry.sinks]) sink.failed(error, false);
    this.rest();
  }
}

function take(set: Set<string>): string[] {
  const all = [...set];
  set.clear();
  return all;
}
