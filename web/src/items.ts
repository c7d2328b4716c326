// What the page knows of each task, and how it becomes newer: from the list
// that REST gives, from the navigation hub's summaries and from the end of a
// watch. Nothing here touches the page.

import type { ImageEvent, NavigationState, Task, TaskKind, TaskStatus, VideoEvent } from '@knn_labs/conduit-core-client';

type TaskSummary = NavigationState['recentTasks'][number];

export interface Medium {
  url: string;
  width: number;
  height: number;
}

export interface Item {
  id: string;
  kind: TaskKind;
  model: string;
  /** Of a summary only its first 120 characters, until the task itself is there. */
  prompt: string;
  status: TaskStatus;
  progress: number;
  message: string;
  frame: number | undefined;
  frames: number | undefined;
  /** How many wait before it. */
  ahead: number | undefined;
  error: string;
  sequence: number;
  createdAt: number;
  retryOf: string | undefined;
  /** The task as REST gives it, once it was read. */
  task: Task | undefined;
  /** What was made, with links that are good for an hour. */
  media: { all: Medium[]; mintedAt: number } | undefined;
}

export type Items = ReadonlyMap<string, Item>;

export const ended = (status: TaskStatus) => status !== 'pending' && status !== 'running';

/** lacks is true for what has to be read: a summary's task, and the result of one that was seen to end. */
export const lacks = (item: Item) => !item.task || (ended(item.status) && item.task.sequence < item.sequence);

/** withTasks takes in what was read; what an event has already carried further stays. */
export function withTasks(items: Items, tasks: readonly Task[], now = Date.now()): Items {
  const merged = new Map(items);
  for (const task of tasks) {
    const known = merged.get(task.task_id);
    const read = fromTask(task, now);
    if (!known || known.sequence <= read.sequence) merged.set(read.id, { ...read, media: known?.media ?? read.media });
    else merged.set(read.id, { ...known, task, prompt: task.prompt });
  }
  return merged;
}

function fromTask(task: Task, now: number): Item {
  const all = (task.result?.data ?? []).map(({ url, metadata: { width, height } }) => ({ url: ownLink(url), width, height }));
  return {
    id: task.task_id,
    kind: task.kind,
    model: task.model,
    prompt: task.prompt,
    status: task.status,
    progress: task.progress,
    message: task.message ?? '',
    frame: task.current_frame ?? undefined,
    frames: task.total_frames ?? undefined,
    ahead: task.queue_position ?? undefined,
    error: task.error ?? '',
    sequence: task.sequence,
    createdAt: Date.parse(task.created_at),
    retryOf: task.retry_of ?? undefined,
    task,
    media: all.length > 0 ? { all, mintedAt: now } : undefined,
  };
}

/** withSummaries takes in what the navigation hub tells. */
export function withSummaries(items: Items, summaries: readonly TaskSummary[]): Items {
  let merged: Map<string, Item> | undefined;
  for (const s of summaries) {
    const known = items.get(s.taskId);
    if (known && known.sequence >= s.sequence) continue;
    merged ??= new Map(items);
    merged.set(s.taskId, {
      id: s.taskId,
      kind: s.kind,
      model: s.model,
      prompt: known?.task?.prompt ?? s.prompt,
      status: s.status,
      progress: s.progress,
      message: s.message ?? '',
      frame: undefined,
      frames: undefined,
      ahead: undefined,
      error: known?.error ?? '',
      sequence: s.sequence,
      createdAt: s.createdAt.getTime(),
      retryOf: s.retryOf,
      task: known?.task,
      media: known?.media,
    });
  }
  return merged ?? items;
}

/** withEvent takes in what a watch was told; one that is not newer than what is known changes nothing. */
export function withEvent(items: Items, event: VideoEvent | ImageEvent, now = Date.now()): Items {
  const item = items.get(event.taskId);
  // A summary of the end may have come first; the event has the result too.
  const fuller = item?.sequence === event.sequence && !item.media && event.eventType.endsWith('Completed');
  if (!item || (event.sequence <= item.sequence && !fuller)) return items;
  return new Map(items).set(item.id, { ...after(item, event, now), sequence: event.sequence });
}

/** after is what an item is once an event has come. */
export function after(item: Item, event: VideoEvent | ImageEvent, now = Date.now()): Item {
  switch (event.eventType) {
    case 'VideoGenerationStarted':
    case 'ImageGenerationStarted':
      return { ...item, status: 'running', ahead: undefined };
    case 'VideoGenerationProgress':
    case 'ImageGenerationProgress':
      return {
        ...item,
        // The first event says "queued"; any later one comes from a worker, or
        // from the queue once more when a new attempt is to be made.
        status: event.message === 'queued' ? 'pending' : 'running',
        progress: event.progress,
        message: event.message ?? '',
        frame: event.currentFrame,
        frames: event.totalFrames,
        ahead: event.queuePosition,
      };
    case 'VideoGenerationCompleted': {
      const { width, height } = event.metadata;
      return { ...item, status: 'completed', progress: 100, media: { all: [{ url: ownLink(event.videoUrl), width, height }], mintedAt: now } };
    }
    case 'ImageGenerationCompleted': {
      const all = event.images.map(({ url, width, height }) => ({ url: ownLink(url), width, height }));
      return { ...item, status: 'completed', progress: 100, media: { all, mintedAt: now } };
    }
    case 'VideoGenerationFailed':
    case 'ImageGenerationFailed':
      return { ...item, status: event.errorCode === 'timed_out' ? 'timed_out' : 'failed', error: event.error };
    case 'VideoGenerationCancelled':
    case 'ImageGenerationCancelled':
      return { ...item, status: 'cancelled' };
  }
}

export function withoutItem(items: Items, id: string): Items {
  const left = new Map(items);
  left.delete(id);
  return left;
}

/** newestFirst is the order of the list. */
export function newestFirst(items: Items): Item[] {
  return [...items.values()].sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1));
}

export const statusName: Record<TaskStatus, string> = {
  pending: 'Queued',
  running: 'Running',
  completed: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
  timed_out: 'Timed out',
};

/** step says in words what is being done, for example "frame 37 of 120". */
export function step(item: Item): string {
  if (item.frame && item.frames) return `frame ${item.frame} of ${item.frames}`;
  if (item.ahead) return `queued, ${item.ahead} ahead`;
  if (item.status === 'pending') return 'queued';
  return item.message && item.message !== 'queued' ? item.message : 'starting';
}

/** sizeOf is a task's width and height in pixels. */
export function sizeOf(item: Item): Medium | undefined {
  const [width, height] = (item.task?.size ?? '').split('x').map(Number);
  return width && height ? { url: '', width, height } : undefined;
}

/**
 * ownLink turns the link of a result into one of this page's own origin where
 * Conduit serves it itself: the task may have been submitted under another name
 * of the same server, and the page may load media from its own origin only.
 */
export function ownLink(url: string): string {
  const at = url.indexOf('/v1/media/');
  return at < 0 ? url : url.slice(at + 1);
}
