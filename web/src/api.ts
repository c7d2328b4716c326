// The REST calls of the console. The session's cookie carries the credential,
// so none is ever held in the page.

export type TaskStatus = 'pending' | 'running' | 'completed' | 'failed' | 'cancelled' | 'timed_out';

/** A task as GET /v1/tasks shows it; the fields that the console uses. */
export interface TaskView {
  task_id: string;
  kind: 'video' | 'image';
  model: string;
  status: TaskStatus;
  /** 0 to 100. */
  progress: number;
  message: string | null;
  queue_position: number | null;
  current_frame: number | null;
  total_frames: number | null;
  attempt: number;
  created_at: string;
  error: string | null;
  error_detail: { code: string; message: string; retryable: boolean } | null;
  result: { data: ResultItem[] } | null;
  sequence: number;
  prompt: string;
  size: string;
  /** Seconds; null for images. */
  duration: number | null;
  fps: number | null;
  seed: number;
}

export interface ResultItem {
  /** Absolute, signed, valid for an hour. */
  url: string;
  metadata: { width: number; height: number; format: string; file_size_bytes: number; mime_type: string };
}

interface Range {
  min: number;
  max: number;
  default: number;
}

export interface Model {
  id: string;
  conduit: {
    kind: 'video' | 'image';
    default: boolean;
    size: { min: number; max: number; multiple: number; default: string };
    duration: Range | null;
    fps: Range | null;
    max_prompt: number;
  };
}

export interface VideoRequest {
  prompt: string;
  model: string;
  size: string;
  duration: number;
  fps: number;
  seed?: number;
}

export interface Session {
  scopes: string[];
  expiresAt: string;
}

/** An answer that is none: what the server said, or that it did not answer. */
export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 when there was no answer. */
    readonly status: number,
    readonly code: string,
    message: string,
    /** The request field that is meant, if one is. */
    readonly param: string | null = null,
  ) {
    super(message);
  }

  get signedOut(): boolean {
    return this.status === 401;
  }
}

async function call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      credentials: 'same-origin',
      cache: 'no-store',
      headers: body === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new ApiError(0, 'offline', 'Conduit does not answer.');
  }
  if (response.ok) return response.status === 204 ? (undefined as T) : ((await response.json()) as T);
  const error = await response.json().then(
    (answer: { error?: { code?: string; message?: string; param?: string | null } }) => answer.error,
    () => undefined,
  );
  throw new ApiError(response.status, error?.code ?? '', error?.message ?? `Conduit answered ${response.status}.`, error?.param);
}

const task = (id: string) => `v1/tasks/${encodeURIComponent(id)}`;

export const api = {
  session: () => call<Session>('GET', 'console/session'),
  signIn: (credential: { key: string } | { code: string }) => call<void>('POST', 'console/session', credential),
  signOut: () => call<void>('DELETE', 'console/session'),
  models: async () => (await call<{ data: Model[] }>('GET', 'v1/models')).data,
  tasks: async (limit: number) => (await call<{ data: TaskView[] }>('GET', `v1/tasks?kind=video&limit=${limit}`)).data,
  task: (id: string) => call<TaskView>('GET', task(id)),
  cancel: (id: string) => call<unknown>('POST', `${task(id)}/cancel`),
  retry: (id: string) =>
    call<{ task_id: string }>('POST', `v1/videos/generations/tasks/${encodeURIComponent(id)}/retry`),
  /** The idempotency key makes it safe to send again what got no answer. */
  create: (request: VideoRequest, idempotencyKey: string) =>
    call<{ task_id: string }>('POST', 'v1/videos/generations/async', request, { 'Idempotency-Key': idempotencyKey }),
};

/**
 * mediaLink turns the link of a result into one of this page's own origin where
 * Conduit serves it itself: the task may have been submitted under another name
 * of the same server, and the page may load media from its own origin only.
 */
export function mediaLink(url: string): string {
  const at = url.indexOf('/v1/media/');
  return at < 0 ? url : url.slice(at + 1);
}
