// Events between who makes them and who reads them.

/** Feed is a queue of events that is read by iterating over it. */
export class Feed<E> {
  private queue: E[] = [];
  private readers: (() => void)[] = [];
  private over: { failed: boolean; error?: unknown } | undefined;

  /** push adds an event, and takes out those that wait and that it replaces. */
  push(event: E, replaces: (waiting: E) => boolean): void {
    this.queue = [...this.queue.filter((waiting) => !replaces(waiting)), event];
    this.wake();
  }

  /** end lets iterations end once they have read what waits. */
  end(): void {
    this.over ??= { failed: false };
    this.wake();
  }

  /** fail lets iterations reject once they have read what waits. */
  fail(error: unknown): void {
    this.over ??= { failed: true, error };
    this.wake();
  }

  /**
   * iterate reads. It is no generator, because with one a `return` would wait
   * for the event that a `next` waits for. left is called when the iteration
   * is over, or left before.
   */
  iterate(left: () => void): AsyncIterator<E, void, undefined> {
    let done = false;
    const leave = (): IteratorResult<E, void> => {
      done = true;
      left();
      this.wake(); // a next that waits
      return { done, value: undefined };
    };
    return {
      next: async () => {
        for (;;) {
          const event = done ? undefined : this.queue.shift();
          if (event !== undefined) return { done: false, value: event };
          if (done || this.over) break;
          await new Promise<void>((resolve) => this.readers.push(resolve));
        }
        if (done || !this.over?.failed) return leave();
        leave();
        throw this.over.error;
      },
      return: () => Promise.resolve(leave()),
    };
  }

  private wake(): void {
    for (const reader of this.readers.splice(0)) reader();
  }
}
