// The video hub: one connection that never gives up, and a subscription per
// watched task that is taken up again where it stood.

import { HubConnectionBuilder, HubConnectionState, LogLevel, type HubConnection } from '@microsoft/signalr';

interface EventBase {
  taskId: string;
  /** Strictly rising per task. */
  sequence: number;
  attempt: number;
}

export type TaskEvent =
  | (EventBase & { name: 'Started' })
  | (EventBase & {
      name: 'Progress';
      progress: number;
      message?: string;
      currentFrame?: number;
      totalFrames?: number;
      queuePosition?: number;
    })
  | (EventBase & { name: 'Completed'; videoUrl: string; duration: number; metadata: { width: number; height: number } })
  | (EventBase & { name: 'Failed'; error: string; isRetryable: boolean; errorCode?: string })
  | (EventBase & { name: 'Cancelled' });

const eventNames = ['Started', 'Progress', 'Completed', 'Failed', 'Cancelled'] as const;

export type ConnectionState = 'connecting' | 'connected' | 'reconnecting' | 'offline';

export interface HubListener {
  onEvent(event: TaskEvent): void;
  onState(state: ConnectionState): void;
  /** The connection is there (again): what happened meanwhile is to be read. */
  onConnected(): void;
  /** The server does not let us in any more. */
  onRefused(): void;
}

const firstDelay = 250;
const longestDelay = 4_000; // milliseconds
const offlineAfter = 15_000; // milliseconds without a connection until we call it offline

export class VideoHub {
  private readonly connection: HubConnection;
  /** Watched tasks and the sequence of the last event seen of each. */
  private readonly watched = new Map<string, number>();
  private stopped = false;
  private offlineTimer: number | undefined;

  constructor(private readonly listener: HubListener) {
    this.connection = new HubConnectionBuilder()
      .withUrl(new URL('hubs/video-generation', document.baseURI).href)
      .withAutomaticReconnect({
        nextRetryDelayInMilliseconds: ({ previousRetryCount, retryReason }) =>
          refused(retryReason) ? null : delay(previousRetryCount),
      })
      .configureLogging(LogLevel.None) // the page shows the state itself
      .build();
    for (const name of eventNames) {
      this.connection.on(name, (payload: EventBase) => this.receive({ ...payload, name } as TaskEvent));
    }
    this.connection.onreconnecting(() => this.lost('reconnecting'));
    this.connection.onreconnected(() => this.established());
    this.connection.onclose((error) => {
      if (this.stopped) return;
      if (refused(error)) listener.onRefused();
      else void this.start(); // the server closed for good, for example after a missed ping
    });
  }

  /** start connects and keeps trying until it is connected, refused or stopped. */
  async start(): Promise<void> {
    this.lost('connecting');
    for (let attempt = 0; !this.stopped; attempt++) {
      try {
        await this.connection.start();
        this.established();
        return;
      } catch (error) {
        if (this.stopped) return;
        if (refused(error)) return this.listener.onRefused();
        await new Promise((resolve) => setTimeout(resolve, delay(attempt)));
      }
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.offlineTimer);
    this.watched.clear();
    await this.connection.stop();
  }

  /** watch asks for every event of a task above a sequence; asking twice does no harm. */
  watch(taskId: string, afterSequence: number): void {
    if (this.watched.has(taskId)) return;
    this.watched.set(taskId, afterSequence);
    void this.subscribe(taskId);
  }

  private async subscribe(taskId: string): Promise<void> {
    if (this.connection.state !== HubConnectionState.Connected) return; // established will do it
    try {
      await this.connection.invoke('SubscribeToTaskFrom', taskId, this.watched.get(taskId) ?? 0);
    } catch {
      // Refused, or the connection went meanwhile. The list is read again from
      // time to time, and what is unfinished in it is watched anew.
      this.watched.delete(taskId);
    }
  }

  private receive(event: TaskEvent): void {
    const seen = this.watched.get(event.taskId);
    if (seen === undefined || event.sequence <= seen) return;
    if (event.name === 'Started' || event.name === 'Progress') {
      this.watched.set(event.taskId, event.sequence);
    } else {
      this.watched.delete(event.taskId);
      // The subscription has nothing more to say; the group can go.
      this.connection.send('UnsubscribeFromTask', event.taskId).catch(() => {});
    }
    this.listener.onEvent(event);
  }

  private established(): void {
    clearTimeout(this.offlineTimer);
    this.offlineTimer = undefined;
    this.listener.onState('connected');
    for (const taskId of this.watched.keys()) void this.subscribe(taskId);
    this.listener.onConnected();
  }

  private lost(state: ConnectionState): void {
    if (this.offlineTimer !== undefined) return; // already known
    this.listener.onState(state);
    this.offlineTimer = setTimeout(() => this.listener.onState('offline'), offlineAfter);
  }
}

function delay(attempt: number): number {
  const base = Math.min(firstDelay * 2 ** attempt, longestDelay);
  return base * (0.75 + Math.random() / 2); // so that pages do not come back all at once
}

// The client wraps what negotiate answered into an error of its own, whose
// sentence is all that is left of the status.
function refused(error: unknown): boolean {
  return error instanceof Error && /Status code '40[13]'/.test(error.message);
}
