// The live list of tasks. The navigation hub tells what there is and where it
// stands; REST gives what a summary has no room for, once per task.

import { AuthenticationError, NotFoundError, type ImageEvent, type NavigationState, type VideoEvent } from '@knn_labs/conduit-core-client';
import { useConduit, useNavigationState } from '@knn_labs/conduit-core-client/react';
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from 'preact/hooks';
import { lacks, newestFirst, withEvent, withoutItem, withSummaries, withTasks, type Item, type Items } from './items';

export interface Feed {
  items: Item[];
  /** The list has been read once. */
  known: boolean;
  /** When the newest task was made that was there when the list was read first; -Infinity where none was. */
  since: number;
  /** The navigation state, where the key may see it. */
  navigation: NavigationState | undefined;
  /** There are older tasks. */
  more: boolean;
  showMore(): Promise<void>;
  /** refresh reads the newest tasks: after what was done here, where no hub tells of it. */
  refresh(): Promise<void>;
  /** told takes in an event that a watch has seen. */
  told(event: VideoEvent | ImageEvent): void;
}

const pageSize = 50; // as many as the navigation hub tells of
const few = 3; // tasks that are read one by one; more are read as a list

const still = () => ({ state: undefined, error: undefined });

/**
 * useFeed: live, which is whether the key may see the navigation state, never
 * changes while the page is shown. connected is whether there is a connection.
 */
export function useFeed(live: boolean, connected: boolean, onSignedOut: () => void): Feed {
  const client = useConduit();
  const { state: navigation, error } = (live ? useNavigationState : still)();
  const store = useRef<Items>(new Map());
  const [, paint] = useReducer((n: number) => n + 1, 0);
  const update = useCallback((next: (old: Items) => Items) => {
    const before = store.current;
    store.current = next(before);
    if (store.current !== before) paint(undefined);
  }, []);
  const items = store.current;
  const [since, setSince] = useState<number>();
  const known = since !== undefined;
  const [more, setMore] = useState(false);

  useEffect(() => {
    if (error instanceof AuthenticationError) onSignedOut();
  }, [error]);

  const read = useCallback(
    async (after?: string) => {
      try {
        const page = await client.tasks.list({ limit: pageSize, ...(after ? { after } : {}) }).page();
        update((old) => withTasks(old, page.data));
        setSince((first) => first ?? Math.max(...[...store.current.values()].map((item) => item.createdAt)));
        return page;
      } catch (failure) {
        if (failure instanceof AuthenticationError) onSignedOut();
        return undefined; // the next news, or the next connection, brings another try
      }
    },
    [client],
  );

  useEffect(() => {
    if (navigation) update((old) => withSummaries(old, navigation.recentTasks));
  }, [navigation]);
  const reading = useRef(false);
  useEffect(() => {
    // Once; without the hub also after every loss of the connection.
    if (reading.current || (known && (live || !connected))) return;
    reading.current = true;
    void read()
      .then((page) => page && !known && setMore(page.has_more))
      .finally(() => (reading.current = false));
  }, [known, navigation, connected]);

  const filling = useRef(false);
  useEffect(() => {
    const missing = () => [...store.current.values()].filter(lacks);
    if (!known || filling.current || missing().length === 0) return;
    filling.current = true;
    const fill = async () => {
      // What changes meanwhile is found by another round.
      for (let round = 0; round < 3 && missing().length > 0; round++) {
        if (missing().length > few && !(await read())) return;
        for (const { id, kind } of missing().slice(0, pageSize)) {
          try {
            const task = await (kind === 'video' ? client.videos : client.images).get(id);
            update((old) => withTasks(old, [task]));
          } catch (failure) {
            if (!(failure instanceof NotFoundError)) return; // the next news brings another try
            update((old) => withoutItem(old, id));
          }
        }
      }
    };
    void fill().finally(() => (filling.current = false));
  }, [items, known, navigation]);

  const all = useMemo(() => newestFirst(items), [items]);
  return {
    items: all,
    known,
    since: since ?? Infinity,
    navigation,
    more,
    showMore: async () => {
      const page = await read(all.at(-1)?.id);
      if (page) setMore(page.has_more);
    },
    refresh: useCallback(async () => void (await read()), [read]),
    told: useCallback((event) => update((old) => withEvent(old, event)), []),
  };
}
