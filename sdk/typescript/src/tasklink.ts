// A hub of tasks, as watches see it: every watched task is subscribed to once,
// with one call for what is watched at the same moment, and taken up where it
// stood on every new connection.

import { HubConnectionState } from '@microsoft/signalr';
import { refusalOf, type Connection } from './connection.js';
import { ConnectionError, type ConduitError } from './errors.js';
import { decode, eventNames, isEnd, type Kind, type TaskEvent } from './events.js';
import { Link } from './link.js';
import { say } from './logging.js';
import type { Settings } from './options.js';
import { Backoff } from './wait.js';

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

export class TaskLink extends Link {
  private readonly entries = new Map<string, Entry>();
  private readonly joining = new Set<string>();
  private readonly leaving = new Set<string>();
  private flushing = false;
  private single = false; // the server has no SubscribeToTasks

  constructor(
    settings: Settings,
    private readonly kind: Kind,
  ) {
    super(settings, `hubs/${kind.toLowerCase()}-generation`, `${kind.toLowerCase()}s`);
  }

  /** watch tells sink what happens to a task above a sequence, until the returned function is called. */
  watch(taskId: string, after: number, sink: Sink): () => void {
    const refusal = this.refusal();
    if (refusal) {
      sink.failed(refusal, false);
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

  protected override get used(): boolean {
    return this.entries.size > 0;
  }

  protected override listen(connection: Connection): void {
    for (const name of eventNames) {
      connection.hub.on(name, (payload: unknown) => {
        this.backoff.reset(); // it works; attempts are counted from here on
        const event = decode(this.kind, payload);
        if (event) this.receive(event);
        else this.settings.log.write('Debug', `An event of /${this.path} that is not known here was passed over.`);
      });
    }
  }

  protected override begin(): void {
    this.leaving.clear(); // a new connection is in no group
    for (const entry of this.entries.values()) this.joining.add(entry.id);
    this.flushSoon();
  }

  protected override fail(error: ConduitError, missing: boolean): void {
    const entries = [...this.entries.values()];
    this.entries.clear();
    this.joining.clear();
    this.leaving.clear();
    for (const entry of entries) for (const sink of entry.sinks) sink.failed(error, missing);
  }

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
