// What videos and images have in common, and what they do not.

import type {
  AcceptedTask, ImageEvent, ImageGenerationCompleted, ImageMetadata, ImageRequest, ImageResult, Task, VideoEvent,
  VideoGenerationCompleted, VideoMetadata, VideoRequest,
} from './contract.js'; // prettier-ignore
import { InvalidOptionError, TaskCancelledError, TaskFailedError, TimeoutError } from './errors.js';
import { readEvents } from './eventstream.js';
import { nameOf, type TaskEvent } from './events.js';
import type { ConnectionState } from './link.js';
import { say } from './logging.js';
import { number, record } from './options.js';
import { listOf, type ListOptions, type TaskList } from './pages.js';
import { checkCall, postNames, type Answer, type CallOptions, type PostOptions } from './rest.js';
import { onAbort } from './wait.js';
import { canonical, checkWatch, Watch, watchNames, type WatchOptions, type WatchSource } from './watch.js';

/** What `generate` takes: a watch's options, and what the request for the task takes. */
export interface GenerateOptions<E extends TaskEvent> extends Omit<WatchOptions<E>, 'afterSequence' | 'onError'> {
  /** See `PostOptions`. */
  idempotencyKey?: string;
  /** The task, as soon as there is one. */
  onTask?: (task: AcceptedTask) => void;
  /** `false`: when the signal or the timeout ends the wait, the task goes on. `true`: it is cancelled, also when it was just being made. */
  cancelOnAbort?: boolean;
}

const generateNames = [...watchNames.filter((name) => name !== 'afterSequence' && name !== 'onError'), 'idempotencyKey', 'onTask', 'cancelOnAbort'];

/** A finished video. */
export interface Video {
  taskId: string;
  /** Absolute, signed, valid for an hour; `get` gives a new one. */
  url: string;
  /** Seconds. */
  duration: number;
  metadata: VideoMetadata;
  model: string;
  /** The same seed and fields make the same video. */
  seed: number;
  requestId: string | undefined;
}

/** Finished images. */
export interface Images {
  taskId: string;
  /** The first one: absolute, signed, valid for an hour; `get` gives a new one. */
  url: string;
  /** Of the first one. */
  metadata: ImageMetadata;
  images: ImageResult[];
  model: string;
  /** The same seed and fields make the same images. */
  seed: number;
  requestId: string | undefined;
}

/** What `history` takes. */
export interface HistoryOptions {
  /** Only events above this sequence; left out: all. */
  afterSequence?: number;
  signal?: AbortSignal;
}

const segment = (taskId: string) => encodeURIComponent(canonical(taskId));

/** Tasks of one kind. All functions are safe to call at the same time. */
export abstract class Tasks<Request extends object, Result, E extends TaskEvent> {
  protected abstract readonly createPath: string;
  protected abstract onePath(taskId: string): string;
  protected abstract retryPath(taskId: string): string;
  protected abstract resultOf(end: E, task: AcceptedTask, requestId: string | undefined): Result;

  /** @internal */
  constructor(protected readonly source: WatchSource) {}

  /** generate makes something and waits for it. It rejects with a `TaskFailedError` when the task ends without a result. */
  async generate(request: Request, options: GenerateOptions<E> = {}): Promise<Result> {
    const { idempotencyKey, onTask, cancelOnAbort, ...watching } = record('generate options', options, generateNames);
    checkWatch(watching as WatchOptions<TaskEvent>);
    if (onTask !== undefined && typeof onTask !== 'function') throw new InvalidOptionError('onTask', 'onTask must be a function.');
    if (cancelOnAbort !== undefined && typeof cancelOnAbort !== 'boolean') {
      throw new InvalidOptionError('cancelOnAbort', 'cancelOnAbort must be true or false.');
    }
    const { signal } = watching;
    const post = { ...(signal ? { signal } : {}), ...(idempotencyKey === undefined ? {} : { idempotencyKey }) };
    const { value: task, requestId } = await (cancelOnAbort ? this.createOrCancel(request, post) : this.create(request, post));
    try {
      onTask?.(task);
    } catch (error) {
      this.source.settings.log.write('Error', `The callback onTask failed: ${say(error)}`);
    }
    let end;
    try {
      end = await new Watch<E>(this.source, task.task_id, watching).done;
    } catch (error) {
      // The reason of the wait's end counts, not what comes of the cancelling.
      if (cancelOnAbort && (signal?.aborted || error instanceof TimeoutError)) await this.cancel(task.task_id).catch(() => {});
      throw error;
    }
    if (!end) throw new TaskFailedError('The watch ended before the task.', task.task_id, true, undefined, requestId);
    switch (nameOf(end)) {
      case 'Completed':
        return this.resultOf(end, task, requestId);
      case 'Cancelled':
        throw new TaskCancelledError(task.task_id, requestId);
      default: {
        const failed = end as unknown as { error: string; isRetryable: boolean; errorCode?: string };
        throw new TaskFailedError(failed.error, task.task_id, failed.isRetryable, failed.errorCode, requestId);
      }
    }
  }

  /** generateAsync makes a task and does not wait for its result. */
  async generateAsync(request: Request, options: PostOptions = {}): Promise<AcceptedTask> {
    return (await this.create(request, options)).value;
  }

  /** watch follows a task. It begins at once. */
  watch(taskId: string, options: WatchOptions<E> = {}): Watch<E> {
    return new Watch<E>(this.source, taskId, options);
  }

  /**
   * history is every stored event of a task up to now, each `Progress` included, which a watch may leave out. With
   * `afterSequence` only those above it.
   */
  async history(taskId: string, options: HistoryOptions = {}): Promise<E[]> {
    const { afterSequence = 0, signal } = record('history options', options, ['afterSequence', 'signal']);
    checkCall(signal ? { signal } : {});
    number('afterSequence', options.afterSequence, 0, { min: 0, max: Number.MAX_SAFE_INTEGER, whole: true });
    const { sequence } = await this.get(taskId, signal ? { signal } : {});
    return (await readEvents({ ...this.source, taskId: canonical(taskId) }, afterSequence, sequence, signal)) as E[];
  }

  /** get is a task as it is now. */
  async get(taskId: string, options: CallOptions = {}): Promise<Task> {
    checkCall(options);
    return (await this.source.rest.call<Task>({ ...options, method: 'GET', path: this.onePath(segment(taskId)), holds: 'task_id' })).value;
  }

  /** list is the key's own tasks, newest first. */
  list(options: ListOptions = {}): TaskList {
    return listOf(this.source.rest, this.source.kind === 'Video' ? 'video' : 'image', options);
  }

  /** cancel ends a task that has not ended; cancelling twice is no error. */
  async cancel(taskId: string, options: PostOptions = {}): Promise<Task> {
    checkCall(options, postNames);
    return (await this.source.rest.call<Task>({ ...options, method: 'POST', path: `v1/tasks/${segment(taskId)}/cancel`, holds: 'task_id' })).value;
  }

  /** retry makes a new task of one that failed, was cancelled or timed out. */
  async retry(taskId: string, options: PostOptions = {}): Promise<AcceptedTask> {
    checkCall(options, postNames);
    return (await this.source.rest.call<AcceptedTask>({ ...options, method: 'POST', path: this.retryPath(segment(taskId)), holds: 'task_id' })).value;
  }

  /** The state of the hub's connection. */
  get connectionState(): ConnectionState {
    return this.source.link.state;
  }

  /** createOrCancel is create, except that a request which the signal comes too late for is followed by a cancel. */
  private async createOrCancel(request: Request, { signal, ...options }: PostOptions): Promise<Answer<AcceptedTask>> {
    signal?.throwIfAborted();
    const creating = this.create(request, options);
    let deaf = () => {};
    const aborted = new Promise<never>((_, reject) => (deaf = signal ? onAbort(signal, () => reject(signal.reason as Error)) : deaf));
    try {
      return await Promise.race([creating, aborted]);
    } catch (error) {
      if (signal?.aborted) creating.then(({ value }) => this.cancel(value.task_id)).catch(() => {});
      throw error;
    } finally {
      deaf();
    }
  }

  private create(request: Request, options: PostOptions): Promise<Answer<AcceptedTask>> {
    checkCall(options, postNames);
    const prompt = (record('request', request, Object.keys(request ?? {})) as { prompt?: unknown }).prompt;
    if (typeof prompt !== 'string') throw new InvalidOptionError('prompt', 'prompt must be text: what to make.');
    return this.source.rest.call<AcceptedTask>({ ...options, method: 'POST', path: this.createPath, body: request, holds: 'task_id' });
  }
}

/** `client.videos` */
export class Videos extends Tasks<VideoRequest, Video, VideoEvent> {
  protected readonly createPath = 'v1/videos/generations/async';
  protected onePath = (taskId: string) => `v1/videos/generations/tasks/${taskId}`;
  protected retryPath = (taskId: string) => `v1/videos/generations/tasks/${taskId}/retry`;

  protected resultOf(end: VideoEvent, task: AcceptedTask, requestId: string | undefined): Video {
    const { videoUrl, duration, metadata } = end as VideoGenerationCompleted;
    return { taskId: task.task_id, url: videoUrl, duration, metadata, model: task.model, seed: task.seed, requestId };
  }
}

/** `client.images` */
export class ImageTasks extends Tasks<ImageRequest, Images, ImageEvent> {
  protected readonly createPath = 'v1/images/generations/async';
  protected onePath = (taskId: string) => `v1/images/generations/${taskId}/status`;
  protected retryPath = (taskId: string) => `v1/images/generations/${taskId}/retry`;

  protected resultOf(end: ImageEvent, task: AcceptedTask, requestId: string | undefined): Images {
    const { imageUrl, metadata, images } = end as ImageGenerationCompleted;
    return { taskId: task.task_id, url: imageUrl, metadata, images, model: task.model, seed: task.seed, requestId };
  }
}
