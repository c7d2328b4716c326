'use client';
// @knn_labs/conduit-core-client/react

import { createContext, createElement, useCallback, useContext, useEffect, useState, useSyncExternalStore, type FunctionComponent, type ReactNode } from 'react';
import { ConduitCoreClient, type HubName } from './client.js';
import type { ImageEvent, ImageGenerationCompleted, NavigationState, VideoEvent, VideoGenerationCompleted } from './contract.js';
import { TaskCancelledError, TaskFailedError } from './errors.js';
import { nameOf, type TaskEvent } from './events.js';
import type { ConnectionState } from './link.js';
import type { Watch, WatchOptions } from './watch.js';

const Context = createContext<ConduitCoreClient | undefined>(undefined);

/** ConduitProvider gives the hooks below it a client. */
export const ConduitProvider: FunctionComponent<{ client: ConduitCoreClient; children?: ReactNode }> = ({ client, children }) =>
  createElement(Context.Provider, { value: client }, children);

let shared: ConduitCoreClient | undefined;

/** pageClient is one for all hooks without a provider, made when it is first needed. */
const pageClient = () => (shared ??= new ConduitCoreClient());

/** useConduit is the client of the nearest provider, else one of the page's own origin, with its cookie. */
export function useConduit(): ConduitCoreClient {
  return useContext(Context) ?? pageClient();
}

/** useClient is undefined where a page is rendered on a server: nothing is watched there, and there is no page to be of. */
function useClient(own: ConduitCoreClient | undefined): ConduitCoreClient | undefined {
  const given = useContext(Context);
  return own ?? given ?? (typeof window === 'undefined' ? undefined : pageClient());
}

/** What the hooks tell of a task. */
export interface TaskProgress<Completed, E extends TaskEvent> {
  /** 0 to 100; 100 only when the task is completed. */
  progress: number;
  /** For people: the task's newest message, or how it ended. Empty until something is known. */
  status: string;
  /** `idle`: no task is watched. `lost`: the watch ended without the task's end, see `error`. */
  state: 'idle' | 'pending' | 'running' | 'completed' | 'failed' | 'cancelled' | 'lost';
  /** The end with the result, when there is one. */
  result: Completed | undefined;
  /** Why there is no result: a `TaskFailedError`, or what ended the watch. */
  error: Error | undefined;
  /** The newest event. */
  event: E | undefined;
  /** The state of the hub's connection. */
  connectionState: ConnectionState;
}

/** What the hooks take. */
export interface UseProgressOptions {
  /** Instead of the provider's. */
  client?: ConduitCoreClient;
}

type Known<C, E extends TaskEvent> = Omit<TaskProgress<C, E>, 'connectionState'>;

/** useVideoProgress follows a video task. Without a task id (null, undefined, '') it waits for one. */
export function useVideoProgress(taskId: string | null | undefined, options: UseProgressOptions = {}): TaskProgress<VideoGenerationCompleted, VideoEvent> {
  return useProgress('videos', taskId, options, (client, id, o: WatchOptions<VideoEvent>) => client.videos.watch(id, o));
}

/** useImageProgress follows an image task. Without a task id (null, undefined, '') it waits for one. */
export function useImageProgress(taskId: string | null | undefined, options: UseProgressOptions = {}): TaskProgress<ImageGenerationCompleted, ImageEvent> {
  return useProgress('images', taskId, options, (client, id, o: WatchOptions<ImageEvent>) => client.images.watch(id, o));
}

function useProgress<C, E extends TaskEvent>(
  hub: HubName,
  taskId: string | null | undefined,
  options: UseProgressOptions,
  watch: (client: ConduitCoreClient, taskId: string, options: WatchOptions<E>) => Watch<E>,
): TaskProgress<C, E> {
  const client = useClient(options.client);
  const [seen, setSeen] = useState<{ taskId: string; client: ConduitCoreClient; known: Known<C, E> }>();

  useEffect(() => {
    if (!taskId || !client) return;
    let current = true; // this effect's task is still the one that is shown
    const show = (change: (before: Known<C, E>) => Known<C, E>) => {
      if (!current) return;
      setSeen((before) => {
        const same = before && before.taskId === taskId && before.client === client;
        return { taskId, client, known: change(same ? before.known : { ...none, state: 'pending' }) };
      });
    };
    let watching: Watch<E> | undefined;
    const lost = (error: unknown) =>
      show((before) => ({ ...before, state: 'lost', error: error instanceof Error ? error : new Error(String(error)) }));
    try {
      const onEvent = (event: E) => {
        const requestId = watching?.requestId;
        show((before) => after<C, E>(before, event, requestId));
      };
      watching = watch(client, taskId, { onEvent, onError: lost });
    } catch (error) {
      lost(error); // an id that can be none
    }
    return () => {
      current = false;
      watching?.close();
    };
    // watch is one of the two functions above.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [client, taskId]);

  const connectionState = useConnectionState(client, hub);
  // What is known of another task is not shown for this one, not even for one frame.
  const fits = seen && seen.taskId === taskId && seen.client === client;
  const known: Known<C, E> = fits ? seen.known : { ...none, state: taskId ? 'pending' : 'idle' };
  return { ...known, connectionState };
}

function useConnectionState(client: ConduitCoreClient | undefined, hub: HubName): ConnectionState {
  return useSyncExternalStore(
    useCallback((changed) => client?.onConnectionChange(changed) ?? (() => {}), [client]),
    () => client?.connectionState(hub) ?? 'disconnected',
    () => 'disconnected' as const,
  );
}

/** What `useNavigationState` tells. */
export interface NavigationView {
  /** The newest state; `undefined` until there is one. */
  state: NavigationState | undefined;
  /** What ended the watch. */
  error: Error | undefined;
  /** The state of the hub's connection. */
  connectionState: ConnectionState;
}

/** useNavigationState follows what can be used now, and where the key's tasks stand. */
export function useNavigationState(options: UseProgressOptions = {}): NavigationView {
  const client = useClient(options.client);
  const [seen, setSeen] = useState<{ client: ConduitCoreClient; state?: NavigationState; error?: Error }>();

  useEffect(() => {
    if (!client) return;
    let current = true;
    const show = (told: { state: NavigationState } | { error: Error }) => {
      if (current) setSeen((before) => ({ ...(before?.client === client ? before : {}), ...told, client }));
    };
    const lost = (error: unknown) => show({ error: error instanceof Error ? error : new Error(String(error)) });
    let close = () => {};
    try {
      const watch = client.navigation.watch({ onState: (state) => show({ state }), onError: lost });
      close = () => watch.close();
    } catch (error) {
      lost(error); // without hubs
    }
    return () => {
      current = false;
      close();
    };
  }, [client]);

  const connectionState = useConnectionState(client, 'navigation');
  const fits = seen && seen.client === client ? seen : undefined;
  return { state: fits?.state, error: fits?.error, connectionState };
}

const none = { progress: 0, status: '', state: 'idle' as const, result: undefined, error: undefined, event: undefined };

/** after is what is known once an event has come. */
function after<C, E extends TaskEvent>(before: Known<C, E>, event: E, requestId: string | undefined): Known<C, E> {
  const { taskId } = event;
  const told = event as unknown as { progress: number; message?: string; error: string; isRetryable: boolean; errorCode?: string };
  switch (nameOf(event)) {
    case 'Started':
      return { ...before, event, state: 'running' };
    case 'Progress':
      return { ...before, event, state: told.message === 'queued' ? 'pending' : 'running', progress: told.progress, status: told.message ?? '' };
    case 'Completed':
      return { ...before, event, state: 'completed', progress: 100, status: 'completed', result: event as unknown as C };
    case 'Cancelled':
      return { ...before, event, state: 'cancelled', status: 'cancelled', error: new TaskCancelledError(taskId, requestId) };
    default:
      return {
        ...before, event, state: 'failed', status: told.error,
        error: new TaskFailedError(told.error, taskId, told.isRetryable, told.errorCode, requestId),
      }; // prettier-ignore
  }
}
