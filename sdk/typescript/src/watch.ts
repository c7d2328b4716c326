// One watch of one task: an async iterable, callbacks, and a promise of the end.

import type { Task } from './contract.js';
import { ConduitError, InvalidOptionError, TimeoutError } from './errors.js';
import { followOverRest } from './eventstream.js';
import { isEnd, nameOf, type EndOf, type Kind, type TaskEvent } from './events.js';
import { Feed } from './feed.js';
import { say } from './logging.js';
import { longestTimer, number, record, type Settings } from './options.js';
import { checkSignal, type Rest } from './rest.js';
import type { TaskLink } from './tasklink.js';
import { onAbort } from './wait.js';

type Named<E extends TaskEvent, N extends string> = Extract<E, { eventType: `${string}${N}` }>;

/** What a watch takes. Callbacks get every event before the iterable does; one that throws is logged. */
export interface WatchOptions<E extends TaskEvent> {
  /** Ends the watch, not the task; iterating rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Milliseconds until the watch ends with a `TimeoutError`; left out: no limit. */
  timeout?: number;
  /** Only events above this sequence; left out: from the beginning, of several `Progress` the newest. */
  afterSequence?: number;
  onEvent?: (event: E) => void;
  onStarted?: (event: Named<E, 'Started'>) => void;
  onProgress?: (event: Named<E, 'Progress'>) => void;
  onCompleted?: (event: Named<E, 'Completed'>) => void;
  onFailed?: (event: Named<E, 'Failed'>) => void;
  onCancelled?: (event: Named<E, 'Cancelled'>) => void;
  /** The watch ended without the task's end. */
  onError?: (error: unknown) => void;
}

const callbacks = ['onEvent', 'onStarted', 'onProgress', 'onCompleted', 'onFailed', 'onCancelled', 'onError'] as const;
export const watchNames: readonly string[] = ['signal', 'timeout', 'afterSequence', ...callbacks];

export function checkWatch(options: WatchOptions<TaskEvent>, names: readonly string[] = watchNames): void {
  const o = record('watch options', options, names);
  checkSignal(o.signal);
  number('timeout', o.timeout, 0, { min: 0, max: longestTimer, unit: ' of milliseconds' });
  number('afterSequence', o.afterSequence, 0, { min: 0, max: Number.MAX_SAFE_INTEGER, whole: true });
  for (const name of callbacks) {
    if (o[name] !== undefined && typeof o[name] !== 'function') throw new InvalidOptionError(name, `${name} must be a function.`);
  }
}

/** canonical is a task's id as events name it; what can be no id is refused. */
export function canonical(taskId: string, name = 'taskId'): string {
  if (typeof taskId !== 'string' || !/^[\x21-\x7e]{1,64}$/.test(taskId)) {
    throw new InvalidOptionError(name, `${name} must be text of 1 to 64 printable ASCII characters.`);
  }
  return taskId.replace(/^video_/, 'task_');
}

/** What watches need of a client. */
export interface WatchSource {
  settings: Settings;
  rest: Rest;
  kind: Kind;
  link: TaskLink;
}

/**
 * A watch of a task. It begins when it is made and ends with the task's end,
 * with `close()`, or with an error; nothing comes twice, and the end comes
 * exactly once.
 *
 * Iterate over it with `for await`: the iteration ends after the task's end and
 * rejects when the watch failed. Leaving the loop closes the watch. There is one
 * queue: of events that wait to be read, only the newest `Progress` is kept.
 */
export class Watch<E extends TaskEvent = TaskEvent> implements AsyncIterable<E> {
  readonly taskId: string;
  /**
   * The event that ended the task. `undefined` when the watch was closed before, or when `afterSequence` was the
   * end's own. Rejects when the watch failed.
   */
  readonly done: Promise<EndOf<E> | undefined>;

  private last: number;
  private ended = false;
  private readonly feed = new Feed<E>();
  private settle!: { resolve: (end: EndOf<E> | undefined) => void; reject: (error: unknown) => void };
  private readonly abort = new AbortController();
  private asked: string | undefined; // over REST
  private deaf: (() => void) | undefined;
  private release: (() => void) | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** @internal */
  constructor(
    private readonly source: WatchSource,
    taskId: string,
    private readonly options: WatchOptions<E> = {},
  ) {
    checkWatch(options as WatchOptions<TaskEvent>);
    this.taskId = canonical(taskId);
    this.last = options.afterSequence ?? 0;
    this.done = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    this.done.catch(() => {}); // who does not ask need not hear
    const { signal, timeout } = options;
    if (signal && !signal.aborted) this.deaf = onAbort(signal, () => this.fail(signal.reason));
    if (timeout) this.timer = setTimeout(() => this.late(timeout), timeout);
    // Not at once, so that callbacks find what `watch` returned.
    queueMicrotask(() => {
      if (signal?.aborted) this.fail(signal.reason);
      else void this.begin().catch((error: unknown) => this.fail(error));
    });
  }

  /** The name, in the server's log, of what the events come by: an HTTP request, or the negotiation of a hub's connection. */
  get requestId(): string | undefined {
    return this.asked ?? this.source.link.requestId;
  }

  /** close ends the watch; the task goes on. */
  close(): void {
    this.finish(() => this.settle.resolve(undefined));
  }

  [Symbol.asyncIterator](): AsyncIterator<E, void, undefined> {
    return this.feed.iterate(() => this.close());
  }

  private async begin(): Promise<void> {
    if (this.ended) return;
    if (this.last > 0 && (await this.isOver())) return this.close();
    if (this.ended) return;
    const { settings, link } = this.source;
    if (!settings.signalR.enabled) return this.overRest();
    this.release = link.watch(this.taskId, this.last, {
      event: (event) => this.take(event),
      over: () => this.close(),
      failed: (error, elsewhere) => {
        if (!elsewhere) return this.fail(error);
        settings.log.write('Warning', `${error.message} ${this.taskId} is followed over REST.`);
        this.overRest().catch((thrown: unknown) => this.fail(thrown));
      },
    });
    if (this.ended) this.release(); // by what came at once
  }

  /** isOver asks whether anything can come above a sequence that the caller gave. */
  private async isOver(): Promise<boolean> {
    const path = `v1/tasks/${encodeURIComponent(this.taskId)}`;
    const { value: task } = await this.source.rest.call<Task>({ method: 'GET', path, holds: 'sequence', signal: this.abort.signal });
    this.last = Math.min(this.last, task.sequence); // a number above the newest counts as the newest
    return task.status !== 'pending' && task.status !== 'running' && task.sequence <= this.last;
  }

  private async overRest(): Promise<void> {
    await followOverRest({
      rest: this.source.rest,
      kind: this.source.kind,
      taskId: this.taskId,
      last: () => this.last,
      event: (event) => this.take(event),
      asked: (requestId) => (this.asked = requestId),
      signal: this.abort.signal,
    });
    this.close(); // the end was already known
  }

  private take(received: TaskEvent): void {
    if (this.ended || received.sequence <= this.last) return;
    const event = received as E;
    this.last = event.sequence;
    const name = nameOf(event);
    this.feed.push(event, (waiting) => name === 'Progress' && nameOf(waiting) === 'Progress');
    const end = isEnd(event);
    if (end) this.finish(() => this.settle.resolve(event));
    this.tell(() => this.options.onEvent?.(event));
    if (this.ended && !end) return; // closed by the callback
    const own = this.options[`on${name}`] as ((event: E) => void) | undefined;
    this.tell(() => own?.(event));
  }

  private late(timeout: number): void {
    this.fail(new TimeoutError(`${this.taskId} did not end within ${timeout} ms.`, { requestId: this.requestId }));
  }

  private fail(error: unknown): void {
    if (this.ended) return;
    this.feed.fail(error);
    this.finish(() => this.settle.reject(error));
    this.tell(() => this.options.onError?.(error));
  }

  private finish(settle: () => void): void {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.timer);
    this.deaf?.();
    this.release?.();
    this.abort.abort(new ConduitError('The watch has ended.'));
    settle();
    this.feed.end();
  }

  private tell(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.source.settings.log.write('Error', `A callback of a watch failed: ${say(error)}`);
    }
  }
}
