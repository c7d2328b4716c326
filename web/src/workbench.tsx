import { ConduitCoreClient, type Model, type TaskKind } from '@knn_labs/conduit-core-client';
import { ConduitProvider, useConduit } from '@knn_labs/conduit-core-client/react';
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Abnormal } from './abnormal';
import { Brand } from './brand';
import { Card } from './card';
import { Composer, type Fill } from './composer';
import { ConnectionButton, ConnectionNotice, useConnections } from './connection';
import { useFeed, type Feed } from './feed';
import { ended, statusName, type Item } from './items';
import { signOut, tellTabs, whoIsIn, type Session, type SessionError } from './session';

interface Props {
  session: Session;
  onSignedOut: (reason: string) => void;
}

/** newClient is the SDK's client of this page: no key, since the cookie of the page's origin counts; never giving up. */
function newClient(): ConduitCoreClient {
  return new ConduitCoreClient({
    baseURL: new URL('.', document.baseURI).href,
    signalR: {
      transports: ['webSockets', 'serverSentEvents', 'longPolling'],
      reconnectAttempts: Infinity,
      reconnectInterval: 500,
      maxReconnectInterval: 4_000,
      logLevel: 'None', // the page shows the state itself
    },
  });
}

/** Workbench is the page of someone who is signed in. */
export function Workbench(props: Props) {
  const client = useMemo(newClient, []);
  useEffect(() => () => void client.disconnect(), [client]);
  return (
    <ConduitProvider client={client}>
      <Page {...props} />
    </ConduitProvider>
  );
}

function Page({ session, onSignedOut }: Props) {
  const client = useConduit();
  const kinds = (['video', 'image'] as const).filter((kind) => session.scopes.includes(kind));
  const live = session.scopes.includes('navigation');
  const admin = session.scopes.includes('admin');
  const [view, setView] = useState<'studio' | 'connections'>(kinds.length > 0 || !admin ? 'studio' : 'connections');
  const [trouble, setTrouble] = useState('');
  const asked = useRef(false);
  const signedOut = useCallback(() => {
    if (asked.current) return;
    asked.current = true;
    // A refusal may also mean that the key lacks a scope; the session tells which.
    whoIsIn().then(
      () => (asked.current = false),
      (error: SessionError) => {
        asked.current = false;
        if (error.status === 401) onSignedOut('Your session has ended. Sign in again.');
      },
    );
  }, []);
  const connections = useConnections(client, signedOut);
  useEffect(() => {
    // Without the navigation hub, a hub of tasks is kept, so that a lost connection and an ended session are noticed.
    if (!live && kinds.length > 0) client.connect({ hubs: [kinds.includes('video') ? 'videos' : 'images'] }).catch(() => {});
  }, [client]);
  const leave = async () => {
    try {
      await signOut();
    } catch (failure) {
      if ((failure as SessionError).status !== 401) return setTrouble(`You are still signed in: ${(failure as Error).message}`);
    }
    tellTabs();
    onSignedOut('');
  };

  return (
    <>
      {view === 'studio' && (
        <a class="skip" href="#work">
          Skip to your work
        </a>
      )}
      <header class="bar">
        <Brand />
        {admin && kinds.length > 0 && (
          <nav class="segments small" aria-label="Views">
            {(['studio', 'connections'] as const).map((name) => (
              <button key={name} type="button" aria-current={view === name ? 'page' : undefined} onClick={() => setView(name)}>
                {name === 'studio' ? 'Studio' : 'Connections'}
              </button>
            ))}
          </nav>
        )}
        {kinds.length > 0 && <ConnectionButton connections={connections} session={session} />}
        <button type="button" class="plain" onClick={leave}>
          Sign out
        </button>
      </header>
      <main>
        <p class="trouble error" role="alert">
          {trouble}
        </p>
        {kinds.length > 0 && (
          <div class="workbench" hidden={view !== 'studio'}>
            <Studio kinds={kinds} live={live} outages={connections.outages} overall={connections.overall} onSignedOut={signedOut} />
          </div>
        )}
        {view === 'connections' && <Abnormal onSignedOut={signedOut} />}
        {kinds.length === 0 && !admin && <p class="workbench quiet">This key may neither make nor see anything here: it has none of the scopes video, image and admin.</p>}
      </main>
      <ConnectionNotice connections={connections} />
    </>
  );
}

interface StudioProps {
  kinds: readonly TaskKind[];
  live: boolean;
  outages: ReturnType<typeof useConnections>['outages'];
  overall: ReturnType<typeof useConnections>['overall'];
  onSignedOut: () => void;
}

/** Studio is where things are made and seen. */
function Studio({ kinds, live, outages, overall, onSignedOut }: StudioProps) {
  const client = useConduit();
  const connected = overall === 'connected';
  const feed = useFeed(live, connected, onSignedOut);
  const models = useModels(connected);
  const [fill, setFill] = useState<Fill>();
  const [kind, setKind] = useState<TaskKind | 'all'>('all');
  const announcement = useAnnouncements(feed);
  useTitle(feed.items);

  const created = useCallback(
    () => {
      setKind('all');
      void feed.refresh();
    },
    [feed.refresh],
  );
  const retry = useCallback(
    async (item: Item) => {
      await (item.kind === 'video' ? client.videos : client.images).retry(item.id);
      await feed.refresh();
    },
    [client, feed.refresh],
  );
  const reuse = useCallback((item: Item) => setFill({ item }), []);

  const shown = feed.items.filter((item) => kind === 'all' || item.kind === kind);
  const views = kinds.length > 1 ? (['all', ...kinds] as const) : [];
  return (
    <>
      <Composer kinds={kinds} models={models} navigation={feed.navigation} fill={fill} onCreated={created} onSignedOut={onSignedOut} />
      <section id="work" class="work" aria-labelledby="work-title" tabIndex={-1}>
        <header>
          <h2 id="work-title">Your work</h2>
          <p class="quiet">{summary(feed)}</p>
          {views.length > 0 && (
            <div class="segments small" role="group" aria-label="Show">
              {views.map((view) => (
                <button key={view} type="button" aria-pressed={kind === view} onClick={() => setKind(view)}>
                  {view === 'all' ? 'All' : view === 'video' ? 'Videos' : 'Images'}
                </button>
              ))}
            </div>
          )}
        </header>
        {!feed.known && feed.items.length === 0 ? (
          <p class="quiet">Reading…</p>
        ) : shown.length === 0 ? (
          <Empty use={(prompt) => setFill({ prompt })} />
        ) : (
          <ul class="cards">
            {shown.map((item) => (
              <Card key={item.id} item={item} made={item.createdAt > feed.since} outages={outages} onEvent={feed.told} onRetry={retry} onReuse={reuse} onSignedOut={onSignedOut} />
            ))}
          </ul>
        )}
        {feed.more && (
          <button type="button" class="more" onClick={() => void feed.showMore()}>
            Show more
          </button>
        )}
        {!live && (
          <p class="quiet">
            This key lacks the navigation scope: tasks that are made elsewhere do not appear by themselves.{' '}
            <button type="button" onClick={() => void feed.refresh()}>
              Refresh
            </button>
          </p>
        )}
      </section>
      <div class="visually-hidden" role="log" aria-label="What happened">
        {announcement}
      </div>
    </>
  );
}

const examples = ['A paper boat on a quiet pond', 'Northern lights over a sleeping village', 'A slow tide of copper and teal'];

function Empty({ use }: { use: (prompt: string) => void }) {
  return (
    <div class="empty">
      <p>Nothing here yet.</p>
      <p class="quiet">Write a prompt and watch it happen, or begin with one of these:</p>
      <ul>
        {examples.map((prompt) => (
          <li key={prompt}>
            <button type="button" onClick={() => use(prompt)}>
              {prompt}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** summary counts the tasks, as the navigation hub tells it. */
function summary({ navigation }: Feed): string {
  if (!navigation) return '';
  const sum = (state: 'pending' | 'running' | 'completed') => navigation.kinds.reduce((n, k) => n + k.tasks[state], 0);
  const counts = [
    [sum('running'), 'running'],
    [sum('pending'), 'queued'],
    [sum('completed'), 'done'],
  ] as const;
  return counts.flatMap(([n, word]) => (n > 0 ? [`${n} ${word}`] : [])).join(' · ');
}

/** useModels reads the models, again with each new connection: the server may be another one. */
function useModels(connected: boolean): readonly Model[] {
  const client = useConduit();
  const [models, setModels] = useState<readonly Model[]>([]);
  useEffect(() => {
    client.models.list().then(setModels, () => {}); // the next connection brings another try
  }, [client, connected]);
  return models;
}

/** useTitle shows in the tab how much is going on. */
function useTitle(items: readonly Item[]) {
  const active = items.filter((item) => !ended(item.status)).length;
  useEffect(() => {
    document.title = active > 0 ? `(${active}) Conduit` : 'Conduit';
    return () => void (document.title = 'Conduit');
  }, [active]);
}

/** useAnnouncements says when a task begins and ends, not at each frame. */
function useAnnouncements({ items, known }: Feed): string {
  const before = useRef<Map<string, Item['status']> | undefined>(undefined);
  const [text, say] = useState('');
  useEffect(() => {
    if (!known) return;
    const old = before.current;
    before.current = new Map(items.map((item) => [item.id, item.status]));
    if (!old) return; // what was there when the page opened is no news
    for (const { id, status, prompt } of items) {
      const was = old.get(id);
      if (was !== status && (was !== undefined || !ended(status))) say(`${statusName[status]}: ${prompt}`);
    }
  }, [items, known]);
  return text;
}
