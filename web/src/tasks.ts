// What the page knows of each task, and how it becomes newer: from the list
// that REST gives and from the hub's events. Nothing here touches the page.

import { mediaLink, type TaskStatus, type TaskView } from './api';
import type { TaskEvent } from './hub';

export interface Task {
  id: string;
  prompt: string;
  model: string;
  size: string;
  duration: number | null;
  fps: number | null;
  seed: number;
  createdAt: string;
  status: TaskStatus;
  progress: number;
  message: string;
  frame: number | null;
  frames: number | null;
  queuePosition: number | null;
  error: string;
  sequence: number;
  video: { url: string; mintedAt: number } | null;
}

export type Tasks = ReadonlyMap<string, Task>;

export const ended = (status: TaskStatus) => status !== 'pending' && status !== 'running';
export const canRetry = (status: TaskStatus) => ended(status) && status !== 'completed';

export function fromView(view: TaskView): Task {
  const url = view.result?.data[0]?.url;
  return {
    id: view.task_id,
    prompt: view.prompt,
    model: view.model,
    size: view.size,
    duration: view.duration,
    fps: view.fps,
    seed: view.seed,
    createdAt: view.created_at,
    status: view.status,
    progress: view.progress,
    message: view.message ?? '',
    frame: view.current_frame,
    frames: view.total_frames,
    queuePosition: view.queue_position,
    error: view.error ?? '',
    sequence: view.sequence,
    video: url ? { url: mediaLink(url), mintedAt: Date.now() } : null,
  };
}

/** merge takes a list in; a task that an event has already carried further stays. */
export function merge(tasks: Tasks, views: readonly TaskView[]): Tasks {
  const merged = new Map(tasks);
  for (const view of views) {
    const known = tasks.get(view.task_id);
    if (!known || known.sequence < view.sequence) merged.set(view.task_id, fromView(view));
  }
  return merged;
}

/** apply takes an event in; one that is not newer than what is known changes nothing. */
export function apply(tasks: Tasks, event: TaskEvent): Tasks {
  const task = tasks.get(event.taskId);
  if (!task || event.sequence <= task.sequence) return tasks;
  return new Map(tasks).set(task.id, { ...task, ...change(event), sequence: event.sequence });
}

function change(event: TaskEvent): Partial<Task> {
  switch (event.name) {
    case 'Started':
      return { status: 'running', queuePosition: null };
    case 'Progress':
      return {
        // The first event says "queued"; any later one comes from a worker,
        // or from the queue once more when a new attempt is to be made.
        status: event.message === 'queued' ? 'pending' : 'running',
        progress: event.progress,
        message: event.message ?? '',
        frame: event.currentFrame ?? null,
        frames: event.totalFrames ?? null,
        queuePosition: event.queuePosition ?? null,
      };
    case 'Completed':
      return { status: 'completed', progress: 100, video: { url: mediaLink(event.videoUrl), mintedAt: Date.now() } };
    case 'Failed':
      return { status: event.errorCode === 'timed_out' ? 'timed_out' : 'failed', error: event.error };
    case 'Cancelled':
      return { status: 'cancelled' };
  }
}

/** newestFirst is the order of the list. */
export function newestFirst(tasks: Tasks): Task[] {
  return [...tasks.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt) || b.id.localeCompare(a.id));
}

export const statusName: Record<TaskStatus, string> = {
  pending: 'Queued',
  running: 'Running',
  completed: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
  timed_out: 'Timed out',
};

/** describe says in words how far a task is, for example "frame 37 of 120 at 31 %". */
export function describe(task: Task): string {
  switch (task.status) {
    case 'pending':
      return task.queuePosition ? `queued, ${task.queuePosition} ahead` : 'queued';
    case 'running':
      if (task.frame && task.frames) return `frame ${task.frame} of ${task.frames} at ${task.progress} %`;
      return `${task.message && task.message !== 'queued' ? task.message : 'starting'} at ${task.progress} %`;
    case 'completed':
      return 'done';
    case 'failed':
    case 'timed_out':
      return task.error || statusName[task.status].toLowerCase();
    case 'cancelled':
      return 'cancelled';
  }
}
