// Events over REST: the event stream, and polling where that does not get
// through.

import type { Task } from './contract.js';
import { apiError, ApiError, ConduitError, ConnectionError } from './errors.js';
import { decode, eventOf, isEnd, type Kind, type TaskEvent } from './events.js';
import { say } from './logging.js';
import { refusal, requestName, type Rest } from './rest.js';
import { Backoff, follow, sleep } from './wait.js';

const longestLine = 2 ** 20; // characters
const silence = 45_000; // milliseconds; the server writes a comment every 15 s

/** The stream does not get through here, or not for long, for example because of a proxy: polling may. */
class NoStream extends ConnectionError {
  constructor(
    message: string,
    /** It got through and broke off, so that another try may get further. */
    readonly brokeOff: boolean,
    requestId?: string,
  ) {
    super(message, { requestId });
  }
}

/** What is followed. */
export interface Followed {
  rest: Rest;
  kind: Kind;
  taskId: string;
  /** The highest sequence that is known. */
  last(): number;
  event(event: TaskEvent): void;
  /** asked is told the name of each request. */
  asked(requestId: string): void;
  /** What the caller's watch ended with. */
  signal: AbortSignal;
  /** Every stored event is wanted from the first on, and nothing but events. */
  whole?: boolean;
}

const pathOf = (f: Followed) => `v1/tasks/${encodeURIComponent(f.taskId)}`;

/** followOverRest tells events until the terminal one. It rejects when they cannot be had. */
export async function followOverRest(f: Followed): Promise<void> {
  const { settings } = f.rest;
  const backoff = new Backoff(settings.signalR.retry);
  for (;;) {
    const before = f.last();
    try {
      return await stream(f);
    } catch (error) {
      if (f.signal.aborted) throw f.signal.reason;
      if (lasting(error)) throw error;
      if (f.last() > before) backoff.reset();
      const delay = error instanceof NoStream && !error.brokeOff ? undefined : backoff.next();
      if (delay === undefined) {
        if (!(error instanceof NoStream) || f.whole) throw error;
        settings.log.write('Information', `${f.taskId} is followed by polling: ${error.message}`);
        return poll(f);
      }
      settings.log.write('Warning', `${say(error)} The next attempt comes in ${Math.round(delay)} ms.`);
      await sleep(delay, f.signal);
    }
  }
}

/** readEvents gives the stored events above one sequence, up to another that is there. */
export async function readEvents(
  of: Pick<Followed, 'rest' | 'kind' | 'taskId'>,
  after: number,
  upTo: number,
  signal: AbortSignal | undefined,
): Promise<TaskEvent[]> {
  const events: TaskEvent[] = [];
  if (upTo <= after) return events;
  const { controller, release } = follow(signal);
  const enough = new ConduitError('All events are there.');
  let last = after;
  const event = (next: TaskEvent) => {
    if (next.sequence <= last || last >= upTo) return;
    last = next.sequence;
    events.push(next);
    if (last >= upTo) controller.abort(enough);
  };
  try {
    const { rest, kind, taskId } = of;
    await followOverRest({ rest, kind, taskId, whole: true, last: () => last, event, asked: () => {}, signal: controller.signal });
  } catch (error) {
    if (error !== enough) throw error;
  } finally {
    release();
  }
  return events;
}

/** otherKind is what the hubs say too. */
function otherKind(f: Followed, requestId: string | undefined): ApiError {
  const details = { status: 404, code: 'task_not_found', type: 'invalid_request_error', param: null, requestId };
  return apiError(`There is no such ${f.kind.toLowerCase()} task.`, details);
}

function isOfKind(payload: unknown, kind: Kind): boolean {
  return decode(kind, payload) !== undefined;
}

/** lasting errors come again with the same request. */
function lasting(error: unknown): boolean {
  return error instanceof ApiError && error.status < 500 && ![408, 409, 429].includes(error.status);
}

/** stream reads the event stream to its end. */
async function stream(f: Followed): Promise<void> {
  const { settings } = f.rest;
  const url = `${settings.baseURL}${pathOf(f)}/events`;
  const requestId = requestName();
  f.asked(requestId);
  const { controller, release } = follow(f.signal);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(), silence);
  };
  let began = false;
  try {
    alive();
    const headers = await f.rest.headers(requestId);
    headers['Accept'] = 'text/event-stream';
    if (f.last() > 0 || f.whole) headers['Last-Event-ID'] = String(f.last());
    settings.log.traffic(`GET ${url}`);
    const response = await settings.fetch(url, { headers, cache: 'no-store', signal: controller.signal });
    settings.log.traffic(`GET ${url}: ${response.status}`);
    if (response.status === 204) return;
    if (!response.ok) {
      const error = refusal('GET', url, response, await response.text(), response.headers.get('x-request-id') ?? requestId);
      if (error instanceof ApiError && ([405, 406, 501].includes(error.status) || (error.status === 404 && error.code !== 'task_not_found'))) {
        throw new NoStream(error.message, false, requestId);
      }
      throw error;
    }
    if (!response.headers.get('content-type')?.startsWith('text/event-stream') || !response.body) {
      throw new NoStream(`GET ${url} was answered with ${response.headers.get('content-type') ?? 'no content type'}.`, false, requestId);
    }
    const read = new EventStreamReader();
    const text = new TextDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new NoStream(`The event stream of ${f.taskId} ended early.`, true, requestId);
      began = true;
      alive();
      for (const data of read.push(text.decode(value, { stream: true }))) {
        settings.log.traffic(`GET ${url}: ${data}`);
        const payload = parse(data);
        if (isOfKind(payload, f.kind === 'Video' ? 'Image' : 'Video')) throw otherKind(f, requestId);
        const event = decode(f.kind, payload);
        if (!event) continue;
        f.event(event);
        if (isEnd(event)) return;
      }
    }
  } catch (error) {
    if (f.signal.aborted || error instanceof NoStream || error instanceof ConduitError) throw error;
    const silent = controller.signal.aborted;
    if (began) throw new NoStream(`The event stream of ${f.taskId} ${silent ? 'fell silent' : `broke off (${say(error)})`}.`, true, requestId);
    // A proxy that holds the stream back lets not even its first event through.
    if (silent) throw new NoStream(`Nothing comes over the event stream of ${f.taskId}.`, false, requestId);
    throw new ConnectionError(`GET ${url}: the server cannot be reached (${say(error)}).`, { requestId, cause: error });
  } finally {
    clearTimeout(timer);
    release();
    controller.abort(); // what is left of the answer
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** EventStreamReader cuts an event stream into the data of its events. */
export class EventStreamReader {
  private rest = '';
  private data: string[] = [];

  /** push takes what came and gives the data of each event that is whole. */
  push(text: string): string[] {
    const whole: string[] = [];
    // A line may end in CR, LF or both; a CR at the end may be half of a pair.
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? '';
    if (this.rest.length > longestLine) throw new NoStream('What comes is no event stream.', false);
    for (const line of lines) {
      if (line === '') {
        if (this.data.length > 0) whole.push(this.data.join('\n'));
        this.data = [];
      } else if (line === 'data' || line.startsWith('data:')) {
        this.data.push(line.slice(5).replace(/^ /, ''));
      }
    }
    return whole;
  }
}

/** poll asks for the task again and again, and tells its state as events. */
async function poll(f: Followed): Promise<void> {
  const { settings } = f.rest;
  const backoff = new Backoff(settings.signalR.retry);
  let before: Task | undefined;
  for (;;) {
    try {
      const { value: task, requestId } = await f.rest.call<Task>({ method: 'GET', path: pathOf(f), holds: 'sequence', signal: f.signal });
      if (requestId) f.asked(requestId);
      backoff.reset();
      if (task.kind !== f.kind.toLowerCase()) throw otherKind(f, requestId);
      if (task.sequence > f.last()) f.event(eventOf(task, before));
      if (task.status !== 'pending' && task.status !== 'running') return;
      before = task;
    } catch (error) {
      if (f.signal.aborted || lasting(error)) throw error;
      const delay = backoff.next();
      if (delay === undefined) throw error;
      await sleep(delay, f.signal);
      continue;
    }
    await sleep(settings.pollInterval, f.signal);
  }
}
