// Events as they come, made into the guide's types.

import type { ImageEvent, Task, VideoEvent } from './contract.js';

/** Any event of any task. */
export type TaskEvent = VideoEvent | ImageEvent;

/** The event that ends a task. */
export type EndOf<E extends TaskEvent> = Extract<E, { eventType: `${string}Completed` | `${string}Failed` | `${string}Cancelled` }>;

/** The names under which hubs and event streams send events. */
export const eventNames = ['Started', 'Progress', 'Completed', 'Failed', 'Cancelled'] as const;

export type EventName = (typeof eventNames)[number];

/** nameOf is an event's name, without the kind. */
export function nameOf(event: TaskEvent): EventName {
  return event.eventType.slice('VideoGeneration'.length) as EventName; // "Image" is as long as "Video"
}

/** isEnd is true for the event after which there is none. */
export function isEnd<E extends TaskEvent>(event: E): event is EndOf<E> {
  return !/(Started|Progress)$/.test(event.eventType);
}

/** The kinds of tasks, as event types name them. */
export type Kind = 'Video' | 'Image';

/**
 * decode makes an event of what a server sent. What is of another kind, of a
 * type from the future, or lacks what every event has, is undefined.
 */
export function decode(kind: Kind, payload: unknown): TaskEvent | undefined {
  if (typeof payload !== 'object' || payload === null) return undefined;
  const p = payload as Record<string, unknown>;
  const { eventType, taskId, sequence } = p;
  if (typeof eventType !== 'string' || typeof taskId !== 'string' || !Number.isSafeInteger(sequence)) return undefined;
  if (!eventNames.some((name) => eventType === `${kind}Generation${name}`)) return undefined;
  const timestamp = new Date(p.timestamp as string);
  if (Number.isNaN(timestamp.getTime())) return undefined;
  return { ...p, timestamp } as unknown as TaskEvent;
}

/**
 * eventOf is the newest event of a task as far as its state tells: what
 * polling has in place of events.
 */
export function eventOf(task: Task, before: Task | undefined): TaskEvent {
  const prefix = task.kind === 'image' ? 'ImageGeneration' : 'VideoGeneration';
  const base = {
    taskId: task.task_id,
    sequence: task.sequence,
    attempt: task.attempt,
    timestamp: new Date(task.completed_at ?? task.updated_at),
  };
  const make = (name: EventName, more: object = {}) => ({ eventType: prefix + name, ...base, ...more }) as unknown as TaskEvent;
  switch (task.status) {
    case 'completed':
      return make('Completed', task.kind === 'image' ? images(task) : video(task));
    case 'failed':
    case 'timed_out':
      return make('Failed', {
        error: task.error ?? '',
        isRetryable: task.error_detail?.retryable ?? false,
        ...known({ errorCode: task.error_detail?.code }),
      });
    case 'cancelled':
      return make('Cancelled');
    default: {
      const began = task.status === 'running' && (before === undefined || before.status === 'pending' || before.attempt < task.attempt);
      if (began && task.progress === 0 && task.current_frame === null && task.message === null) return make('Started');
      return make('Progress', {
        progress: task.progress,
        percentage: task.progress,
        ...known({
          progressSource: task.progress_source,
          message: task.message ?? (task.status === 'pending' ? 'queued' : null),
          currentFrame: task.current_frame,
          totalFrames: task.total_frames,
          queuePosition: task.queue_position,
        }),
      });
    }
  }
}

/** known leaves out what is null or undefined. */
function known(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined));
}

function video(task: Task): object {
  const item = task.result?.data[0];
  const m = item?.metadata;
  return {
    videoUrl: item?.url ?? '',
    duration: m?.duration ?? 0,
    metadata: { width: m?.width ?? 0, height: m?.height ?? 0, fps: m?.fps ?? 0, format: m?.format ?? '' },
  };
}

function images(task: Task): object {
  const all = (task.result?.data ?? []).map(({ url, metadata: { width, height, format } }) => ({ url, width, height, format }));
  const { width = 0, height = 0, format = '' } = all[0] ?? {};
  return { imageUrl: all[0]?.url ?? '', metadata: { width, height, format }, images: all };
}
