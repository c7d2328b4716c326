// Delays and signals.

const hearers = new WeakMap<AbortSignal, Set<{ run: () => void }>>();

/**
 * onAbort calls f when the signal aborts, until the returned function is
 * called. However many wait for it, a signal has one listener of ours: Node
 * takes many for a leak, and says so.
 */
export function onAbort(signal: AbortSignal, f: () => void): () => void {
  let all = hearers.get(signal);
  if (!all) {
    hearers.set(signal, (all = new Set()));
    signal.addEventListener('abort', hear);
  }
  const own = { run: f };
  all.add(own);
  return () => {
    if (!all.delete(own) || all.size > 0 || hearers.get(signal) !== all) return;
    hearers.delete(signal);
    signal.removeEventListener('abort', hear);
  };
}

function hear(this: AbortSignal): void {
  const all = hearers.get(this) ?? new Set();
  hearers.delete(this);
  this.removeEventListener('abort', hear);
  for (const own of [...all]) if (all.delete(own)) own.run(); // one may have called another off
}

/** sleep waits, and rejects with the signal's reason when that comes first. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const deaf = signal && onAbort(signal, () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
    const timer = setTimeout(() => {
      deaf?.();
      resolve();
    }, milliseconds);
  });
}

/** A controller that also follows a signal, until it is released. */
export interface Follower {
  readonly controller: AbortController;
  release(): void;
}

/** follow makes a controller that aborts with the signal. */
export function follow(signal: AbortSignal | undefined): Follower {
  const controller = new AbortController();
  if (signal?.aborted) controller.abort(signal.reason);
  const release = signal && !signal.aborted ? onAbort(signal, () => controller.abort(signal.reason)) : () => {};
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
