// A hub of tasks, as watches see it: every watched task is subscribed to once,
// with one call for what is watched at the same moment, and taken up where it
// stood on every new connection.

import { HubConnectionState } from '@microsoft/signalr';
import { call, refusalOf, type Connection } from './connection.js';
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
  /** Nothing more comes from here. With elsewhere, REST may still do. */
  failed(error: ConduitError, elsewhere: boolean): void;
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

/** A task as it was asked for. */
interface Asked {
  readonly entry: Entry;
  readonly after: number;
}

/** A task's part of the answer of SubscribeToTasks, if it is what it should be. */
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
  private held = false; // the server wants no calls for a while
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
    return () => this.release(entry, sink);
  }

  private release(entry: Entry, sink: Sink): void {
    if (!entry.sinks.delete(sink) || entry.sinks.size > 0 || this.entries.get(entry.id) !== entry) return;
    this.entries.delete(entry.id);
    // What was not asked for yet need not be taken back.
    if (!this.joining.delete(entry.id) || this.leaving.has(entry.id)) this.leave(entry.id);
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
    this.held = this.single = false; // both were the last connection's
    this.leaving.clear(); // a new connection is in no group
    for (const entry of this.entries.values()) this.joining.add(entry.id);
    this.flushSoon();
  }

  protected override fail(error: ConduitError, elsewhere: boolean): void {
    const entries = [...this.entries.values()];
    this.entries.clear();
    this.joining.clear();
    this.leaving.clear();
    for (const { sinks } of entries) for (const sink of [...sinks]) sink.failed(error, elsewhere);
  }

  private receive(event: TaskEvent): void {
    const entry = this.entries.get(event.taskId);
    if (!entry || event.sequence <= entry.last) return;
    entry.last = event.sequence;
    entry.backoff.reset();
    const sinks = [...entry.sinks];
    if (!isEnd(event)) {
      entry.recent = event.eventType.endsWith('Progress') ? [event] : [...entry.recent.slice(-1), event];
      for (const sink of sinks) sink.event(event);
      return;
    }
    this.entries.delete(entry.id);
    this.joining.delete(entry.id);
    if (this.single) this.leave(entry.id); // what subscribes to many lets ended ones go by itself
    for (const sink of sinks) {
      sink.event(event);
      sink.over(); // where it was known already
    }
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
    if (this.flushing || this.held || !this.current) return;
    this.flushing = true;
    queueMicrotask(() => void this.flush());
  }

  /** flush makes calls until nothing waits for one. What comes while they are under way is gathered for the next. */
  private async flush(): Promise<void> {
    try {
      for (;;) {
        const { current } = this;
        if (!current || this.held || this.leaving.size + this.joining.size === 0) return;
        // In this order: what is in both is to begin anew.
        const left = batches(take(this.leaving)).map((ids) => this.unsubscribe(current, ids));
        const joined = batches(take(this.joining)).map((ids) => this.subscribe(current, ids));
        await Promise.all([...left, ...joined]);
      }
    } finally {
      this.flushing = false; // in the same turn in which nothing was found: what is asked for later begins another
    }
  }

  private async unsubscribe(connection: Connection, ids: string[]): Promise<void> {
    try {
      if (!this.single) return void (await call(connection, 'UnsubscribeFromTasks', ids));
    } catch (error) {
      const refusal = refusalOf(connection, say(error));
      if (refusal.kind === 'again' && this.current === connection && this.hold(refusal.after)) ids.forEach((id) => this.leaving.add(id));
      if (refusal.kind !== 'unknown method') return; // nothing else depends on it
      this.single = true;
    }
    for (const id of ids) if (!this.entries.has(id)) call(connection, 'UnsubscribeFromTask', id).catch(() => {});
  }

  private async subscribe(connection: Connection, ids: string[]): Promise<void> {
    const asked = ids.flatMap((id): Asked[] => {
      const entry = this.entries.get(id);
      return entry ? [{ entry, after: entry.last }] : [];
    });
    if (asked.length === 0) return;
    if (!this.single) {
      try {
        const told = await call(connection, 'SubscribeToTasks', asked.map(({ entry, after }) => ({ taskId: entry.id, afterSequence: after })));
        this.backoff.reset();
        return this.told(connection, asked, told);
      } catch (error) {
        if (refusalOf(connection, say(error)).kind !== 'unknown method') return this.refused(connection, asked, say(error));
        this.single = true;
      }
    }
    const one = async ({ entry, after }: Asked) => {
      try {
        await call(connection, 'SubscribeToTaskFrom', entry.id, after);
        this.backoff.reset();
      } catch (error) {
        this.refused(connection, [{ entry, after }], say(error));
      }
    };
    await Promise.all(asked.map(one));
  }

  /** told judges the answers for many tasks. */
  private told(connection: Connection, asked: Asked[], answers: unknown): void {
    const byId = new Map(asked.map((a) => [a.entry.id, a]));
    const again = new Map<string, Asked[]>(); // by what was said
    for (const { taskId, error, errorCode, ended } of Array.isArray(answers) ? (answers as Told[]) : []) {
      const one = byId.get(taskId as string);
      if (!one) continue;
      if (typeof error === 'string' && error) {
        const code = typeof errorCode === 'string' ? errorCode : undefined;
        if (refusalOf(connection, error, code).kind === 'again') again.set(error, [...(again.get(error) ?? []), one]);
        else this.refused(connection, [one], error, code);
      } else if (ended === true) {
        this.over(one);
      }
    }
    for (const [error, those] of again) this.refused(connection, those, error);
  }

  /** over ends the watches of a task that has ended, where they were told its end before. */
  private over({ entry, after }: Asked): void {
    // As a rule the end came before the answer. What was begun anew since then has an answer of its own to come.
    if (this.entries.get(entry.id) !== entry || entry.last < after) return;
    this.entries.delete(entry.id);
    for (const sink of [...entry.sinks]) sink.over();
    this.rest();
  }

  /** refused judges a subscription that failed: it ends the watches of its tasks, or is tried again. */
  private refused(connection: Connection, asked: Asked[], text: string, code?: string): void {
    // A lost connection fails its calls too; the next one asks again.
    if (this.current !== connection || connection.hub.state !== HubConnectionState.Connected) return;
    const refusal = refusalOf(connection, text, code);
    const entries = asked.map((a) => a.entry).filter((entry) => this.entries.get(entry.id) === entry);
    if (refusal.kind === 'final') return entries.forEach((entry) => this.drop(entry, refusal.error, false));
    if (refusal.kind === 'again' && this.hold(refusal.after)) return entries.forEach((entry) => this.ask(entry));
    const again: Entry[] = [];
    let delay = 0;
    for (const entry of entries) {
      const next = entry.backoff.next();
      if (next === undefined) this.drop(entry, new ConnectionError(`The subscription to ${entry.id} failed: ${text}`, { requestId: connection.requestId }), this.settings.signalR.poll);
      else again.push(entry);
      delay = Math.max(delay, next ?? 0);
    }
    if (again.length === 0) return;
    this.settings.log.write('Warning', `The subscription to ${again.length === 1 ? again[0]?.id : `${again.length} tasks`} failed and is tried again: ${text}`);
    // Together, so that one call asks for all of them.
    this.later(delay, () => again.forEach((entry) => this.entries.get(entry.id) === entry && this.ask(entry)));
  }

  /** hold makes no call for as long as the server says, if it says so. */
  private hold(milliseconds: number): boolean {
    if (milliseconds > 0 && !this.held) {
      this.held = true;
      this.settings.log.write('Warning', `/${this.path} takes no calls for ${milliseconds} ms.`);
      this.later(milliseconds, () => {
        this.held = false;
        this.flushSoon();
      });
    }
    return milliseconds > 0;
  }

  private drop(entry: Entry, error: ConduitError, elsewhere: boolean): void {
    this.entries.delete(entry.id);
    for (const sink of [...entry.sinks]) sink.failed(error, elsewhere);
    this.rest();
  }
}

function take(set: Set<string>): string[] {
  const all = [...set];
  set.clear();
  return all;
}

function batches(ids: string[]): string[][] {
  return Array.from({ length: Math.ceil(ids.length / batch) }, (_, i) => ids.slice(i * batch, (i + 1) * batch));
}
