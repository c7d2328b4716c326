// A hub's connection, for all that use it: made when it is needed, made again
// when it is lost, let go when nothing needs it any more.

import { open, reasonOf, type Connection } from './connection.js';
import { ConnectionError, type ConduitError } from './errors.js';
import { say } from './logging.js';
import type { Settings } from './options.js';
import { Backoff, sleep } from './wait.js';

/** Where a hub's connection stands. */
export type ConnectionState = 'disconnected' | 'connecting' | 'connected' | 'reconnecting';

/** A change of a connection. */
export interface ConnectionChange {
  hub: string;
  state: ConnectionState;
  /** Why, when it was lost or given up. */
  error: ConduitError | undefined;
  /** Milliseconds until the next attempt, where there is one. */
  retryIn: number | undefined;
}

const linger = 100; // milliseconds that an unused connection stays, for what follows at once

export abstract class Link {
  protected current: Connection | undefined; // while connected
  protected readonly backoff: Backoff; // of the connection
  private readonly listeners = new Set<(change: ConnectionChange) => void>();
  private pinned = false; // by connect
  private running: Promise<void> | undefined;
  private stop: AbortController | undefined;
  private idle: ReturnType<typeof setTimeout> | undefined;
  private waiting = new Set<{ resolve: () => void; reject: (error: unknown) => void }>();
  private now: ConnectionState = 'disconnected';

  constructor(
    protected readonly settings: Settings,
    readonly path: string,
    /** What `connect` calls the hub. */
    private readonly name: string,
  ) {
    this.backoff = new Backoff(settings.signalR.retry);
  }

  /** Something needs the connection. */
  protected abstract get used(): boolean;
  /** listen registers what is to be heard on a new connection. */
  protected abstract listen(connection: Connection): void;
  /** begin is called when a connection has opened. */
  protected abstract begin(connection: Connection): void;
  /** fail is called when there will be none: it ends everything that needs one. */
  protected abstract fail(error: ConduitError, missing: boolean): void;

  get state(): ConnectionState {
    return this.now;
  }

  onChange(listener: (change: ConnectionChange) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** connect opens the connection and keeps it until disconnect, used or not. */
  connect(signal?: AbortSignal): Promise<void> {
    this.pinned = true;
    if (this.current) return Promise.resolve();
    return new Promise<void>((resolve, reject) => {
      const settle = (f: () => void) => () => {
        this.waiting.delete(waiter);
        signal?.removeEventListener('abort', ended);
        f();
      };
      const ended = settle(() => {
        this.pinned = false;
        this.rest();
        reject(signal?.reason as Error);
      });
      const waiter = { resolve: settle(resolve), reject: (error: unknown) => settle(() => reject(error as Error))() };
      this.waiting.add(waiter);
      signal?.addEventListener('abort', ended, { once: true });
      this.ensure();
    });
  }

  /** disconnect ends the connection, and every watch with it. */
  async disconnect(): Promise<void> {
    this.pinned = false;
    this.end(new ConnectionError(`The connection to /${this.path} was closed by disconnect().`), false);
    this.stop?.abort();
    await this.running;
  }

  /** refusal is why nothing can be asked of the hub now: connect has to come first. */
  protected refusal(): ConduitError | undefined {
    if (this.settings.signalR.autoConnect || this.pinned) return undefined;
    return new ConnectionError(`autoConnect is false, and there is no connection to /${this.path}: call connect({ hubs: ['${this.name}'] }) first.`);
  }

  private get wanted(): boolean {
    return this.pinned || this.used;
  }

  protected ensure(): void {
    clearTimeout(this.idle);
    this.idle = undefined;
    if (this.running) return;
    const stop = (this.stop = new AbortController());
    this.running = this.run(stop.signal).finally(() => {
      this.running = this.stop = undefined;
      this.change('disconnected');
      if (this.wanted) this.ensure();
    });
  }

  /** rest lets the connection go when nothing uses it any more. */
  protected rest(): void {
    if (this.wanted || !this.running || this.idle !== undefined) return;
    if (!this.current) return void this.stop?.abort();
    this.idle = setTimeout(() => {
      this.idle = undefined;
      if (!this.wanted) this.stop?.abort();
    }, linger);
  }

  /** run keeps a connection until nothing wants it or it cannot be had. */
  private async run(signal: AbortSignal): Promise<void> {
    const { backoff } = this;
    backoff.reset();
    this.change('connecting');
    while (!signal.aborted) {
      const connection = open(this.settings, this.path);
      const lost = this.attach(connection);
      const halt = () => void connection.hub.stop().catch(() => {});
      signal.addEventListener('abort', halt, { once: true });
      let cause: unknown;
      try {
        await connection.hub.start();
        if (!signal.aborted) this.established(connection);
        cause = await lost;
      } catch (error) {
        cause = error;
      } finally {
        signal.removeEventListener('abort', halt);
        this.current = undefined;
      }
      if (signal.aborted) return void (await connection.hub.stop().catch(() => {}));
      const reason = reasonOf(connection, this.path, cause);
      const delay = reason.final ? undefined : backoff.next();
      if (delay === undefined) {
        const { attempts } = backoff;
        this.settings.log.write('Error', reason.error.message);
        const error =
          reason.final || attempts === 0
            ? reason.error
            : new ConnectionError(`${reason.error.message} It was tried again ${attempts} ${attempts === 1 ? 'time' : 'times'}.`, reason.error);
        return this.giveUp(error, reason.missing);
      }
      this.change(this.now === 'connecting' ? 'connecting' : 'reconnecting', reason.error, delay);
      this.settings.log.write('Warning', `${reason.error.message} The next attempt comes in ${Math.round(delay)} ms.`);
      await sleep(delay, signal).catch(() => {});
    }
  }

  /** attach listens to a connection; the promise is its end. */
  private attach(connection: Connection): Promise<unknown> {
    this.listen(connection);
    return new Promise((resolve) => connection.hub.onclose(resolve));
  }

  private established(connection: Connection): void {
    this.current = connection;
    this.change('connected');
    for (const waiter of [...this.waiting]) waiter.resolve();
    this.begin(connection);
    this.rest(); // what wanted it may be gone
  }

  private giveUp(error: ConduitError, missing: boolean): void {
    this.pinned = false;
    this.change('disconnected', error);
    this.end(error, missing);
  }

  private end(error: ConduitError, missing: boolean): void {
    for (const waiter of [...this.waiting]) waiter.reject(error);
    this.fail(error, missing);
  }

  private change(state: ConnectionState, error?: ConduitError, retryIn?: number): void {
    if (this.now === state && !error) return;
    this.now = state;
    for (const listener of [...this.listeners]) {
      try {
        listener({ hub: this.path.slice('hubs/'.length), state, error, retryIn });
      } catch (thrown) {
        this.settings.log.write('Error', `A listener of connection changes failed: ${say(thrown)}`);
      }
    }
  }
}
