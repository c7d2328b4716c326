// Lists that read on by themselves.

import type { Task, TaskKind, TaskStatus } from './contract.js';
import { InvalidOptionError } from './errors.js';
import { number, record } from './options.js';
import { checkCall, type Rest } from './rest.js';
import { canonical } from './watch.js';

/** What a list takes. */
export interface ListOptions {
  /** One status or several; left out: all. */
  status?: TaskStatus | readonly TaskStatus[];
  /** Tasks in one request, 1 to 100; default 20. */
  limit?: number;
  /** The id of the task after which the list begins. */
  after?: string;
  signal?: AbortSignal;
}

const listNames: readonly string[] = ['status', 'limit', 'after', 'signal'];

/** listOf checks what a list is asked for. */
export function listOf(rest: Rest, kind: TaskKind | undefined, options: ListOptions): TaskList {
  const o = record('list options', options, listNames);
  checkCall(o.signal ? { signal: o.signal } : {});
  number('limit', o.limit, 20, { min: 1, max: 100, whole: true });
  if (o.after !== undefined) canonical(o.after, 'after');
  const words: readonly unknown[] = o.status === undefined ? ['all'] : [o.status].flat();
  if (words.length === 0 || !words.every((word) => typeof word === 'string' && word !== '')) {
    throw new InvalidOptionError('status', 'status must be a status of tasks, or an array of them.');
  }
  return new TaskList(rest, kind, o);
}

/** One request's worth of a list. */
export interface TaskPage {
  data: Task[];
  has_more: boolean;
  first_id: string | null;
  last_id: string | null;
}

/** Tasks, newest first. Iterate over it: it asks for the next page when it is needed. */
export class TaskList implements AsyncIterable<Task> {
  /** @internal */
  constructor(
    private readonly rest: Rest,
    private readonly kind: TaskKind | undefined,
    private readonly options: ListOptions,
  ) {}

  /** page reads one page: the first, or the one after a task. */
  async page(after = this.options.after): Promise<TaskPage> {
    const { status, limit, signal } = this.options;
    if (after !== undefined) canonical(after, 'after');
    const query = new URLSearchParams(this.kind ? { kind: this.kind } : {});
    if (limit !== undefined) query.set('limit', String(limit));
    if (after !== undefined) query.set('after', after);
    for (const word of status === undefined ? [] : [status].flat()) query.append('status', word);
    const { value } = await this.rest.call<TaskPage>({ method: 'GET', path: `v1/tasks?${query}`, holds: 'data', ...(signal ? { signal } : {}) });
    return value;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Task, void, undefined> {
    for (let after = this.options.after; ; ) {
      const page = await this.page(after);
      yield* page.data;
      if (!page.has_more || !page.last_id) return;
      after = page.last_id;
    }
  }
}
