// The types that Conduit's hubs and REST surface send.
//
// Generated from the Go types: go test ./internal/contract -update

/** What a task makes. */
export type TaskKind = 'video' | 'image';

/** Where a task stands. */
export type TaskStatus = 'pending' | 'running' | 'completed' | 'failed' | 'cancelled' | 'timed_out';

/** What to make: the body of a request for videos. */
export interface VideoRequest {
  /** What to make; at most 32,000 characters. */
  prompt: string;
  /** An id of the models; left out: the default of its kind. */
  model?: string;
  /** WIDTHxHEIGHT in pixels, such as 1280x720; left out: the model's. */
  size?: string;
  /** Seconds, 1 to 60; left out: the model's. */
  duration?: number;
  /** Frames a second, 1 to 120; left out: the model's. */
  fps?: number;
  /** The same seed and fields make the same result; left out: random, and told. */
  seed?: number;
  /** How many; left out: 1. More than 1 for images only. */
  n?: number;
  /** How results come: "url", which is the default. */
  response_format?: 'url';
  /** A name of your own for whom it is made; at most 256 characters, kept and never interpreted. */
  user?: string;
  /** The task ends as timed out after this many seconds, 1 to 3600; only ever lowers the default. */
  timeout_seconds?: number;
}

/** What to make: the body of a request for images. */
export interface ImageRequest {
  /** What to make; at most 32,000 characters. */
  prompt: string;
  /** An id of the models; left out: the default of its kind. */
  model?: string;
  /** WIDTHxHEIGHT in pixels, such as 1280x720; left out: the model's. */
  size?: string;
  /** The same seed and fields make the same result; left out: random, and told. */
  seed?: number;
  /** How many; left out: 1. More than 1 for images only. */
  n?: number;
  /** "auto" or "standard", which are what the models have; images only. */
  quality?: string;
  /** "generate"; images only. */
  operation?: string;
  /** How results come: "url", which is the default. */
  response_format?: 'url';
  /** A name of your own for whom it is made; at most 256 characters, kept and never interpreted. */
  user?: string;
  /** The task ends as timed out after this many seconds, 1 to 3600; only ever lowers the default. */
  timeout_seconds?: number;
}

/** AcceptedTask is the 202 answer. */
export interface AcceptedTask {
  task_id: string;
  status: TaskStatus;
  created_at: string;
  estimated_completion_time: string | null;
  check_status_url: string;
  events_url: string;
  model: string;
  seed: number;
  retry_of: string | null;
}

/** Task is a task's status, and what was asked for. Every key is always there. */
export interface Task {
  task_id: string;
  kind: TaskKind;
  model: string;
  status: TaskStatus;
  /** 0..100 */
  progress: number;
  progress_source: string | null;
  queue_position: number | null;
  message: string | null;
  current_frame: number | null;
  total_frames: number | null;
  /** seconds */
  estimated_time_to_completion: number | null;
  attempt: number;
  created_at: string;
  started_at: string | null;
  updated_at: string;
  completed_at: string | null;
  error: string | null;
  error_detail: TaskErrorDetail | null;
  result: TaskResult | null;
  sequence: number;
  prompt: string;
  /** WxH, pixels */
  size: string;
  /** seconds; null for images */
  duration: number | null;
  /** frames a second; null for images */
  fps: number | null;
  seed: number;
  n: number;
  user: string | null;
  retry_of: string | null;
}

export interface TaskErrorDetail {
  code: string;
  message: string;
  retryable: boolean;
}

/** TaskResult is what a completed task made. */
export interface TaskResult {
  /** unix seconds */
  created: number;
  model: string;
  data: ResultItem[];
  usage: ResultUsage;
}

export interface ResultItem {
  /** absolute, signed, valid for an hour */
  url: string;
  revised_prompt: string | null;
  metadata: ResultMetadata;
}

/** ResultUsage has the key of the task's kind only; costs are not known yet. */
export interface ResultUsage {
  videos_generated?: number;
  images_generated?: number;
  total_duration_seconds?: number;
  estimated_cost: number | null;
}

export interface ResultMetadata {
  width: number;
  height: number;
  /** seconds */
  duration: number | null;
  fps: number | null;
  codec: string | null;
  audio_codec: string | null;
  file_size_bytes: number;
  /** bits a second */
  bitrate: number | null;
  mime_type: string;
  format: string;
}

/** Model is a model as OpenAI's clients know it, with our extension. */
export interface Model {
  id: string;
  /** "model" */
  object: string;
  created: number;
  owned_by: string;
  conduit: ModelCapabilities;
}

export interface ModelCapabilities {
  kind: TaskKind;
  /** taken when a request of this kind names no model */
  default: boolean;
  features: string[];
  size: SizeLimits;
  /** seconds; null for images */
  duration: NumberLimits | null;
  /** null for images */
  fps: NumberLimits | null;
  max_n: number;
  /** characters */
  max_prompt: number;
}

export interface SizeLimits {
  min: number;
  max: number;
  multiple: number;
  default: string;
}

export interface NumberLimits {
  min: number;
  max: number;
  default: number;
}

/** VideoGenerationStarted says that a worker began an attempt. */
export interface VideoGenerationStarted {
  eventType: 'VideoGenerationStarted';
  taskId: string;
  /** strictly rising per task */
  sequence: number;
  /** from 1 */
  attempt: number;
  timestamp: Date;
}

/** VideoGenerationProgress is how far a task is. */
export interface VideoGenerationProgress {
  eventType: 'VideoGenerationProgress';
  taskId: string;
  sequence: number;
  attempt: number;
  /** 0..99, whole points */
  progress: number;
  /** the same */
  percentage: number;
  progressSource?: string;
  message?: string;
  currentFrame?: number;
  totalFrames?: number;
  queuePosition?: number;
  timestamp: Date;
}

/** VideoGenerationCompleted is a task's end with a result. */
export interface VideoGenerationCompleted {
  eventType: 'VideoGenerationCompleted';
  taskId: string;
  sequence: number;
  attempt: number;
  /** absolute, signed, expires */
  videoUrl: string;
  /** seconds */
  duration: number;
  metadata: VideoMetadata;
  timestamp: Date;
}

/** VideoMetadata describes a video. */
export interface VideoMetadata {
  width: number;
  height: number;
  fps: number;
  /** "webm" */
  format: string;
}

/** VideoGenerationFailed is a task's end without a result, the deadline (errorCode "timed_out") included. */
export interface VideoGenerationFailed {
  eventType: 'VideoGenerationFailed';
  taskId: string;
  sequence: number;
  attempt: number;
  /** for people */
  error: string;
  isRetryable: boolean;
  /** for programs */
  errorCode?: string;
  timestamp: Date;
}

/** VideoGenerationCancelled is a task's end by its owner's wish. */
export interface VideoGenerationCancelled {
  eventType: 'VideoGenerationCancelled';
  taskId: string;
  sequence: number;
  attempt: number;
  timestamp: Date;
}

export interface ImageGenerationStarted {
  eventType: 'ImageGenerationStarted';
  taskId: string;
  /** strictly rising per task */
  sequence: number;
  /** from 1 */
  attempt: number;
  timestamp: Date;
}

export interface ImageGenerationProgress {
  eventType: 'ImageGenerationProgress';
  taskId: string;
  sequence: number;
  attempt: number;
  /** 0..99, whole points */
  progress: number;
  /** the same */
  percentage: number;
  progressSource?: string;
  message?: string;
  currentFrame?: number;
  totalFrames?: number;
  queuePosition?: number;
  timestamp: Date;
}

/** ImageGenerationCompleted is an image task's end with its results; imageUrl and metadata are those of the first. */
export interface ImageGenerationCompleted {
  eventType: 'ImageGenerationCompleted';
  taskId: string;
  sequence: number;
  attempt: number;
  imageUrl: string;
  metadata: ImageMetadata;
  images: ImageResult[];
  timestamp: Date;
}

/** ImageMetadata describes an image. */
export interface ImageMetadata {
  width: number;
  height: number;
  /** "png" */
  format: string;
}

/** ImageResult is one image of a task. */
export interface ImageResult {
  /** absolute, signed, expires */
  url: string;
  width: number;
  height: number;
  /** "png" */
  format: string;
}

export interface ImageGenerationFailed {
  eventType: 'ImageGenerationFailed';
  taskId: string;
  sequence: number;
  attempt: number;
  /** for people */
  error: string;
  isRetryable: boolean;
  /** for programs */
  errorCode?: string;
  timestamp: Date;
}

export interface ImageGenerationCancelled {
  eventType: 'ImageGenerationCancelled';
  taskId: string;
  sequence: number;
  attempt: number;
  timestamp: Date;
}

/** NavigationState is everything that an application's navigation shows, as far as the caller's key may see it. */
export interface NavigationState {
  eventType: 'NavigationStateUpdated';
  /** rises with every change */
  revision: number;
  kinds: KindState[];
  models: ModelState[];
  /** the newest 50, newest first */
  recentTasks: TaskSummary[];
  timestamp: Date;
}

/** KindState is a kind of generation, and the caller's tasks of it by state. */
export interface KindState {
  kind: TaskKind;
  /** a model of it can be used now */
  available: boolean;
  tasks: TaskCounts;
}

/** ModelState is a model and whether it can be used now. */
export interface ModelState {
  modelId: string;
  kind: TaskKind;
  /** taken when a request of its kind names no model */
  default: boolean;
  available: boolean;
  /** why not, for people */
  reason?: string;
}

/** TaskSummary is a task in a list. */
export interface TaskSummary {
  taskId: string;
  kind: TaskKind;
  model: string;
  status: TaskStatus;
  /** 0..100 */
  progress: number;
  message?: string;
  /** the first 120 characters */
  prompt: string;
  sequence: number;
  retryOf?: string;
  errorCode?: string;
  createdAt: Date;
  updatedAt: Date;
  completedAt?: Date;
}

/** TaskCounts are numbers of tasks. */
export interface TaskCounts {
  pending: number;
  running: number;
  completed: number;
  failed: number;
  cancelled: number;
  timedOut: number;
}

/** ModelAvailability is the payload of ModelAvailabilityChanged. */
export interface ModelAvailability {
  eventType: 'ModelAvailabilityChanged';
  modelId: string;
  kind: TaskKind;
  available: boolean;
  reason?: string;
  timestamp: Date;
}

/** What happens to a video task; eventType tells which. */
export type VideoEvent =
  | VideoGenerationStarted
  | VideoGenerationProgress
  | VideoGenerationCompleted
  | VideoGenerationFailed
  | VideoGenerationCancelled;

/** What happens to an image task; eventType tells which. */
export type ImageEvent =
  | ImageGenerationStarted
  | ImageGenerationProgress
  | ImageGenerationCompleted
  | ImageGenerationFailed
  | ImageGenerationCancelled;

/** What the hubs offered when these types were made. */
export const hubs = {
  '/hubs/video-generation': {
    methods: ['SubscribeToTask', 'SubscribeToTaskFrom', 'SubscribeToTasks', 'UnsubscribeFromTask', 'UnsubscribeFromTasks'],
    events: { Started: 'VideoGenerationStarted', Progress: 'VideoGenerationProgress', Completed: 'VideoGenerationCompleted', Failed: 'VideoGenerationFailed', Cancelled: 'VideoGenerationCancelled' },
  },
  '/hubs/image-generation': {
    methods: ['SubscribeToTask', 'SubscribeToTaskFrom', 'SubscribeToTasks', 'UnsubscribeFromTask', 'UnsubscribeFromTasks'],
    events: { Started: 'ImageGenerationStarted', Progress: 'ImageGenerationProgress', Completed: 'ImageGenerationCompleted', Failed: 'ImageGenerationFailed', Cancelled: 'ImageGenerationCancelled' },
  },
  '/hubs/navigation-state': {
    methods: ['GetNavigationState', 'SubscribeToModel', 'UnsubscribeFromModel'],
    events: { NavigationStateUpdated: 'NavigationState', ModelAvailabilityChanged: 'ModelAvailability' },
  },
} as const;
