// Delays and signals.

/** sleep waits, and rejects with the signal's reason when that comes first. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const ended = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', ended);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', ended, { once: true });
  });
}

/** A controller that also follows other signals, until it is released. */
export interface Follower {
  readonly controller: AbortController;
  release(): void;
}

/** follow aborts with the first of the signals. */
export function follow(...signals: (AbortSignal | undefined)[]): Follower {
  const controller = new AbortController();
  const undo: (() => void)[] = [];
  const release = () => undo.splice(0).forEach((f) => f());
  for (const signal of signals) {
    if (!signal) continue;
    if (signal.aborted) {
      controller.abort(signal.reason);
      break;
    }
    const ended = () => {
      release();
      controller.abort(signal.reason);
    };
    signal.addEventListener('abort', ended, { once: true });
    undo.push(() => signal.removeEventListener('abort', ended));
  }
  return { controller, release };
}

/** What says how often something is tried again, and after which delays. */
export interface RetryRule {
  /** How often. */
  readonly attempts: number;
  /** The first delay, in milliseconds. */
  readonly interval: number;
  /** No delay is longer. */
  readonly longest: number;
  /** Every delay is the first one, exactly. */
  readonly constant: boolean;
}

/**
 * Backoff counts attempts and tells the delay before each: the interval, then
 * twice the one before, capped, each less up to a quarter at random, so that
 * clients do not come back all at once.
 */
export class Backoff {
  private made = 0;

  constructor(private readonly rule: RetryRule) {}

  /** The number of attempts made since the last reset. */
  get attempts(): number {
    return this.made;
  }

  /** next is the delay before the next attempt; undefined: there is none any more. */
  next(): number | undefined {
    const { attempts, interval, longest, constant } = this.rule;
    if (this.made >= attempts) return undefined;
    const delay = constant ? interval : Math.min(interval * 2 ** this.made, longest) * (1 - Math.random() / 4);
    this.made++;
    return delay;
  }

  reset(): void {
    this.made = 0;
  }
}
