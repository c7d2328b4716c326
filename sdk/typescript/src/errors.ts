// Everything that this package throws, except for what an AbortSignal brings.

/** What every error of this package has. */
export class ConduitError extends Error {
  /**
   * The request's name in the server's log (`x-request-id`). For an error of a
   * hub it names the negotiation of its connection; `undefined` where nothing
   * was sent.
   */
  readonly requestId: string | undefined;

  constructor(message: string, options: { requestId?: string | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.requestId = options.requestId;
  }
}

/** An option or argument that cannot be; nothing was sent. */
export class InvalidOptionError extends ConduitError {
  constructor(
    /** Which one, for example `signalR.transports`. */
    readonly option: string,
    message: string,
  ) {
    super(message);
  }
}

/** What an `ApiError` is made from. */
export interface ApiErrorDetails {
  status: number;
  code: string;
  type: string;
  param: string | null;
  requestId: string | undefined;
  cause?: unknown;
}

/** The server refused a request. */
export class ApiError extends ConduitError {
  /** HTTP status; 0 for a refusal by a hub. */
  readonly status: number;
  /** The reason for programs, for example `task_not_found`; empty when the answer had none. */
  readonly code: string;
  /** The class of the reason, for example `invalid_request_error`. */
  readonly type: string;
  /** The field that is meant, if one is. */
  readonly param: string | null;

  constructor(message: string, details: ApiErrorDetails) {
    super(message, details);
    this.status = details.status;
    this.code = details.code;
    this.type = details.type;
    this.param = details.param;
  }
}

/** 400, 413, 415, 422 and the like: the request cannot be. */
export class BadRequestError extends ApiError {}

/** 401: no key, a wrong one, or one that was revoked or has expired. */
export class AuthenticationError extends ApiError {}

/** 403: the key may not do this. */
export class PermissionError extends ApiError {}

/** 404: there is no such thing, or it belongs to another key. */
export class NotFoundError extends ApiError {}

/** 429: too much at once. */
export class RateLimitError extends ApiError {
  constructor(
    message: string,
    details: ApiErrorDetails,
    /** Milliseconds to wait, as the server says; `undefined` when it does not say. */
    readonly retryAfter: number | undefined,
  ) {
    super(message, details);
  }
}

/** 500 and above: the server failed. */
export class ServerError extends ApiError {}

/** The server cannot be reached, the connection was lost for good, or the answer is not Conduit's. */
export class ConnectionError extends ConduitError {}

/** There was no answer, or no end of a task, in the time that was given. */
export class TimeoutError extends ConduitError {}

/** A task ended without a result. */
export class TaskFailedError extends ConduitError {
  constructor(
    message: string,
    readonly taskId: string,
    /** Whether trying again may help. */
    readonly isRetryable: boolean,
    /** The reason for programs, for example `timed_out`. */
    readonly errorCode: string | undefined,
    requestId?: string | undefined,
  ) {
    super(message, { requestId });
  }
}

/** A task was cancelled. `errorCode` is `cancelled`. */
export class TaskCancelledError extends TaskFailedError {
  constructor(taskId: string, requestId?: string | undefined) {
    super('The task was cancelled.', taskId, true, 'cancelled', requestId);
  }
}

/** apiError is the error class of a status. */
export function apiError(message: string, details: ApiErrorDetails, retryAfter?: number): ApiError {
  const { status } = details;
  if (status === 401) return new AuthenticationError(message, details);
  if (status === 403) return new PermissionError(message, details);
  if (status === 404) return new NotFoundError(message, details);
  if (status === 429) return new RateLimitError(message, details, retryAfter);
  if (status >= 500) return new ServerError(message, details);
  if (status >= 400) return new BadRequestError(message, details);
  return new ApiError(message, details);
}
