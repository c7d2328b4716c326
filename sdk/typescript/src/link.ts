// A hub's connection, for all that use it: made when it is needed, made again
// when it is lost, let go when nothing needs it any more.

import { open, reasonOf, type Connection, type Reason } from './connection.js';
import { ConnectionError, type ConduitError } from './errors.js';
import { say } from './logging.js';
import type { Settings } from './options.js';
import { Backoff, onAbort, sleep } from './wait.js';

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

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

const linger = 100; // milliseconds that an unused connection stays, for what follows at once
const steady = 10_000; // milliseconds; a connection that lasts as long does work, be it used or not

export abstract class Link {
  protected current: Connection | undefined; // while connected
  protected readonly backoff: Backoff; // of the connection
  private readonly listeners = new Set<(change: ConnectionChange) => void>();
  private pinned = false; // by connect
  private readonly waiting = new Set<Waiter>(); // in connect
  private running: Promise<void> | undefined;
  private stop: AbortController | undefined;
  private idle: ReturnType<typeof setTimeout> | undefined;
  private readonly timers = new Set<ReturnType<typeof setTimeout>>(); // of the connection
  private now: ConnectionState = 'disconnected';
  private named: string | undefined;

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
  /** fail is called when there will be none: it ends everything that needs one. With elsewhere, REST may still do. */
  protected abstract fail(error: ConduitError, elsewhere: boolean): void;

  get state(): ConnectionState {
    return this.now;
  }

  /** The name of the newest connection's negotiation in the server's log. */
  get requestId(): string | undefined {
    return this.named;
  }

  onChange(listener: (change: ConnectionChange) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** connect opens the connection and keeps it until disconnect, used or not. */
  async connect(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.current) this.pinned = true;
    else await this.opened(signal);
  }

  private opened(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (f: () => void) => {
        if (this.waiting.delete(waiter)) deaf?.();
        f();
      };
      const waiter = {
        // Kept from this moment on, not only when the caller has heard of it.
        resolve: () => settle(() => ((this.pinned = true), resolve())),
        reject: (error: unknown) => settle(() => reject(error as Error)),
      };
      const deaf = signal && onAbort(signal, () => {
        waiter.reject(signal.reason);
        this.rest();
      });
      this.waiting.add(waiter);
      this.ensure();
    });
  }

  /** disconnect ends the connection, and every watch with it. */
  async disconnect(): Promise<void> {
    this.pinned = false;
    this.end(new ConnectionError(`The connection to /${this.path} was closed by disconnect().`, { requestId: this.named }), false);
    this.halt();
    await this.running;
  }

  /** refusal is why nothing can be asked of the hub now: connect has to come first. */
  protected refusal(): ConduitError | undefined {
    if (this.settings.signalR.autoConnect || this.pinned || this.waiting.size > 0) return undefined;
    return new ConnectionError(`autoConnect is false, and there is no connection to /${this.path}: call connect({ hubs: ['${this.name}'] }) first.`);
  }

  private get wanted(): boolean {
    return this.pinned || this.waiting.size > 0 || this.used;
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
    if (!this.current) return this.halt();
    this.idle = setTimeout(() => {
      this.idle = undefined;
      if (!this.wanted) this.halt();
    }, linger);
  }

  private halt(): void {
    this.left();
    this.stop?.abort();
  }

  /** later calls f in a while, unless the connection is gone by then. */
  protected later(milliseconds: number, f: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      f();
    }, milliseconds);
    this.timers.add(timer);
  }

  /** left forgets the connection. */
  private left(): void {
    this.current = undefined;
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
  }

  /** run keeps a connection until nothing wants it or it cannot be had. */
  private async run(signal: AbortSignal): Promise<void> {
    const { backoff } = this;
    let { transports } = this.settings.signalR;
    backoff.reset();
    this.change('connecting');
    while (!signal.aborted) {
      const connection = open(this.settings, this.path, transports);
      this.named = connection.requestId;
      const cause = await this.keep(connection, signal);
      if (signal.aborted) return;
      const reason = reasonOf(connection, this.path, cause);
      // The official client goes on to the next way when one is refused; one that hangs is passed over here.
      if (reason.late && transports.length > 1) transports = transports.slice(1);
      const delay = reason.final ? undefined : backoff.next();
      if (delay === undefined) return this.giveUp(reason);
      this.change(this.now === 'connecting' ? 'connecting' : 'reconnecting', reason.error, delay);
      this.settings.log.write('Warning', `${reason.error.message} The next attempt comes in ${Math.round(delay)} ms.`);
      await sleep(delay, signal).catch(() => {});
    }
  }

  /** keep opens a connection and waits for its end; the answer is its cause. */
  private async keep(connection: Connection, signal: AbortSignal): Promise<unknown> {
    this.listen(connection);
    const lost = new Promise<unknown>((resolve) => connection.hub.onclose(resolve));
    let deaf = () => {};
    const stopped = new Promise<void>((resolve) => (deaf = onAbort(signal, resolve)));
    try {
      await connection.start(signal);
      if (!signal.aborted) this.established(connection);
      const cause = await Promise.race([lost, stopped]);
      if (signal.aborted) await connection.stop();
      return cause;
    } catch (error) {
      return error;
    } finally {
      deaf();
      this.left();
    }
  }

  private established(connection: Connection): void {
    this.current = connection;
    this.later(steady, () => this.backoff.reset());
    this.change('connected');
    for (const waiter of [...this.waiting]) waiter.resolve();
    if (this.current) this.begin(connection); // unless a listener had it closed
    this.rest(); // what wanted it may be gone
  }

  private giveUp({ error, final, missing }: Reason): void {
    const { attempts } = this.backoff;
    this.settings.log.write('Error', error.message);
    const told =
      final || attempts === 0
        ? error
        : new ConnectionError(`${error.message} It was tried again ${attempts} ${attempts === 1 ? 'time' : 'times'}.`, { requestId: error.requestId, cause: error });
    this.pinned = false;
    this.change('disconnected', told);
    this.end(told, missing || (!final && this.settings.signalR.poll));
  }

  private end(error: ConduitError, elsewhere: boolean): void {
    for (const waiter of [...this.waiting]) waiter.reject(error);
    this.fail(error, elsewhere);
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
