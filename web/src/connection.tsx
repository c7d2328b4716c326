// The state of the hub connections, and what is shown of it.

import { AuthenticationError, type ConduitCoreClient, type ConnectionState } from '@knn_labs/conduit-core-client';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Session } from './session';
import { clock } from './words';

export const hubNames = { 'navigation-state': 'Tasks and models', 'video-generation': 'Videos', 'image-generation': 'Images' };

type Hub = keyof typeof hubNames;

/** A loss of the connection, and its end. */
export interface Outage {
  lostAt: number;
  backAt: number | undefined;
}

export interface Connections {
  overall: 'connecting' | 'connected' | 'reconnecting';
  hubs: Record<Hub, ConnectionState>;
  /** When the next attempt comes, in milliseconds of the clock. */
  nextTry: number | undefined;
  outages: Outage[];
}

const keptOutages = 20;

const start: Connections = {
  overall: 'connecting',
  hubs: { 'navigation-state': 'disconnected', 'video-generation': 'disconnected', 'image-generation': 'disconnected' },
  nextTry: undefined,
  outages: [],
};

/** useConnections follows every hub's connection. onRefused is told when the session counts no more. */
export function useConnections(client: ConduitCoreClient, onRefused: () => void): Connections {
  const [now, set] = useState(start);
  useEffect(() => {
    const troubled = new Set<Hub>(); // hubs that have lost their connection, or cannot get one
    return client.onConnectionChange(({ hub, state, error, retryIn }) => {
      if (error instanceof AuthenticationError) onRefused();
      const name = hub as Hub;
      if (retryIn !== undefined) troubled.add(name);
      else if (state === 'connected' || state === 'disconnected') troubled.delete(name);
      set((before) => {
        const hubs = { ...before.hubs, [name]: state };
        const away = troubled.size > 0;
        const overall = away ? 'reconnecting' : Object.values(hubs).includes('connected') ? 'connected' : before.overall;
        return { overall, hubs, nextTry: away ? (retryIn === undefined ? before.nextTry : Date.now() + retryIn) : undefined, outages: outages(before, overall) };
      });
    });
  }, [client]);
  return now;
}

function outages(before: Connections, overall: Connections['overall']): Outage[] {
  if (overall === before.overall) return before.outages;
  if (overall === 'reconnecting') return [...before.outages.slice(1 - keptOutages), { lostAt: Date.now(), backAt: undefined }];
  if (before.overall !== 'reconnecting') return before.outages;
  return before.outages.map((o) => (o.backAt === undefined ? { ...o, backAt: Date.now() } : o));
}

const words = { connecting: 'Connecting', connected: 'Connected', reconnecting: 'Reconnecting' };
const hubWords: Record<ConnectionState, string> = { disconnected: 'not needed now', connecting: 'connecting', connected: 'connected', reconnecting: 'reconnecting' };

/** ConnectionButton says how the connection is; pressed, it says it of every hub. */
export function ConnectionButton({ connections, session }: { connections: Connections; session: Session }) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const outside = (event: Event) => !box.current?.contains(event.target as Node) && setOpen(false);
    addEventListener('pointerdown', outside);
    return () => removeEventListener('pointerdown', outside);
  }, [open]);
  const { overall, hubs, outages } = connections;
  const escape = (event: KeyboardEvent) => {
    if (event.key !== 'Escape' || !open) return;
    setOpen(false);
    button.current?.focus();
  };
  return (
    <div class="connection" ref={box} onKeyDown={escape}>
      <button ref={button} type="button" class={`pill ${overall}`} aria-expanded={open} aria-controls="connection-panel" onClick={() => setOpen(!open)}>
        <span class="visually-hidden">Connection: </span>
        {words[overall]}
      </button>
      <div id="connection-panel" class="panel" role="group" aria-label="Connection details" hidden={!open}>
        <dl>
          {(Object.keys(hubNames) as Hub[]).map((hub) => (
            <div key={hub}>
              <dt>{hubNames[hub]}</dt>
              <dd class={hubs[hub]}>{hubWords[hubs[hub]]}</dd>
            </div>
          ))}
          <div>
            <dt>This session</dt>
            <dd>{session.scopes.join(', ')}</dd>
          </div>
          <div>
            <dt>Ends</dt>
            <dd>{new Date(session.expiresAt).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })}</dd>
          </div>
        </dl>
        {outages.length > 0 && (
          <ul class="outages">
            {outages
              .slice(-4)
              .reverse()
              .map((o) => (
                <li key={o.lostAt}>
                  Lost at {clock(o.lostAt)}, {o.backAt ? `back after ${seconds(o.backAt - o.lostAt)}` : 'trying again'}
                </li>
              ))}
          </ul>
        )}
      </div>
    </div>
  );
}

export const seconds = (milliseconds: number) => `${Math.max(1, Math.round(milliseconds / 1000))} s`;

const goodNews = 6_000; // milliseconds that "connected again" stays

/** ConnectionNotice shows a loss while it lasts, and its end for a while. */
export function ConnectionNotice({ connections }: { connections: Connections }) {
  const { overall, nextTry, outages } = connections;
  const last = outages.at(-1);
  const away = overall === 'reconnecting' && last !== undefined;
  const [, tick] = useState(0);
  useEffect(() => {
    if (!away) return;
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, [away]);
  const [fresh, setFresh] = useState(false);
  useEffect(() => {
    if (!last?.backAt) return setFresh(false);
    setFresh(true);
    const timer = setTimeout(() => setFresh(false), goodNews);
    return () => clearTimeout(timer);
  }, [last?.backAt]);

  const back = !away && fresh && last?.backAt ? `Connected again after ${seconds(last.backAt - last.lostAt)}` : '';
  const wait = nextTry === undefined ? 0 : Math.ceil((nextTry - Date.now()) / 1000);
  return (
    <>
      {/* Said once, not at each second. */}
      <p class="visually-hidden" role="status" aria-label="Connection">
        {away ? 'Connection lost. Trying again.' : back}
      </p>
      {away && (
        <p class="notice away" aria-hidden="true">
          <strong>Connection lost.</strong> {wait > 0 ? `Trying again in ${wait} s` : 'Trying again…'}
        </p>
      )}
      {back && (
        <p class="notice back" aria-hidden="true">
          <strong>{back}.</strong> Nothing was missed.
        </p>
      )}
    </>
  );
}
