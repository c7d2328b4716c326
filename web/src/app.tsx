import { useCallback, useEffect, useReducer, useRef, useState } from 'preact/hooks';
import { api, ApiError, type Model } from './api';
import { VideoHub, type ConnectionState } from './hub';
import { TaskList } from './list';
import { PromptForm } from './prompt';
import { SignIn, takeLoginCode } from './signin';
import { apply, ended, merge, newestFirst, statusName, type Task, type Tasks } from './tasks';

type Who = 'asking' | 'in' | 'out';

/** App decides between the sign-in and the workbench. */
export function App({ loginCode }: { loginCode: string | null }) {
  const [who, setWho] = useState<Who>('asking');
  const [notice, setNotice] = useState('');

  const enter = useCallback(async (code: string | null) => {
    let refusal = '';
    for (let first = true; ; first = false) {
      try {
        if (code !== null) await api.signIn({ code });
        await api.session();
        setNotice('');
        return setWho('in');
      } catch (e) {
        const error = e as ApiError;
        if (error.status === 0 || error.status >= 500) {
          setNotice('Conduit does not answer. Trying again…');
          await new Promise((resolve) => setTimeout(resolve, first ? 500 : 2_000));
        } else if (code !== null) {
          refusal = error.message; // a used link is no reason to be signed out
          code = null;
        } else {
          setNotice(refusal);
          return setWho('out');
        }
      }
    }
  }, []);

  useEffect(() => {
    void enter(loginCode);
    const onHash = () => {
      const code = takeLoginCode(); // a login link opened in this very tab
      if (code !== null) {
        setWho('asking');
        void enter(code);
      }
    };
    addEventListener('hashchange', onHash);
    return () => removeEventListener('hashchange', onHash);
  }, []);

  const leave = useCallback((reason: string) => {
    setNotice(reason);
    setWho('out');
  }, []);

  if (who === 'in') return <Workbench onSignedOut={leave} />;
  return (
    <>
      <header class="bar">
        <Brand />
      </header>
      {who === 'out' ? (
        <SignIn notice={notice} onSignedIn={() => void enter(null)} />
      ) : (
        <main class="signin">
          <p class="quiet" role="status">
            {notice || 'Signing in…'}
          </p>
        </main>
      )}
    </>
  );
}

const pageSize = 30;
const mostTasks = 100;
const refreshEvery = 5_000; // milliseconds; finds tasks that were made elsewhere

const connectionText: Record<ConnectionState, string> = {
  connecting: 'Connecting…',
  connected: 'Connected',
  reconnecting: 'Reconnecting…',
  offline: 'Offline, still trying',
};

/** Workbench is the page of someone who is signed in. */
function Workbench({ onSignedOut }: { onSignedOut: (reason: string) => void }) {
  const [tasks, update] = useReducer((old: Tasks, step: (old: Tasks) => Tasks) => step(old), new Map());
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [models, setModels] = useState<Model[]>([]);
  const [limit, setLimit] = useState(pageSize);
  const [connection, setConnection] = useState<ConnectionState>('connecting');
  const [announcement, announce] = useState('');
  const hub = useRef<VideoHub | null>(null);
  const latestModels = useRef(models);
  latestModels.current = models;

  const signedOut = useCallback(() => onSignedOut('Your session has ended. Sign in again.'), [onSignedOut]);

  const refresh = useCallback(async () => {
    try {
      if (latestModels.current.length === 0) setModels(await api.models());
      const views = await api.tasks(limit);
      update((old) => merge(old, views));
      for (const view of views) {
        if (!ended(view.status)) hub.current?.watch(view.task_id, view.sequence);
      }
    } catch (e) {
      if ((e as ApiError).signedOut) signedOut(); // anything else: the next refresh will tell
    }
  }, [limit, signedOut]);
  const refreshNow = useRef(refresh);
  refreshNow.current = refresh;

  useEffect(() => {
    let here = true;
    const connected = new VideoHub({
      onEvent: (event) => {
        update((old) => apply(old, event));
        if (event.name === 'Completed') setOpen((old) => new Set(old).add(event.taskId));
      },
      onState: (state) => here && setConnection(state),
      onConnected: () => void refreshNow.current(),
      // 403 may also mean that the key lacks the scope; the session tells which.
      onRefused: () =>
        api.session().then(
          () => here && setConnection('offline'),
          () => here && signedOut(),
        ),
    });
    hub.current = connected;
    void connected.start();
    return () => {
      here = false;
      void connected.stop();
    };
  }, []);

  useEffect(() => {
    void refresh();
    const tick = () => document.visibilityState === 'visible' && void refresh();
    const timer = setInterval(tick, refreshEvery);
    document.addEventListener('visibilitychange', tick);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', tick);
    };
  }, [refresh]);

  useAnnouncements(tasks, announce);

  const cancel = useCallback(async (task: Task) => {
    await api.cancel(task.id);
    await refreshNow.current();
  }, []);
  const retry = useCallback(async (task: Task) => {
    await api.retry(task.id);
    await refreshNow.current();
  }, []);
  const toggle = useCallback((task: Task) => {
    setOpen((old) => {
      const changed = new Set(old);
      if (!changed.delete(task.id)) changed.add(task.id);
      return changed;
    });
  }, []);
  const signOut = async () => {
    await api.signOut().catch(() => {});
    onSignedOut('');
  };

  const shown = newestFirst(tasks).slice(0, limit);
  return (
    <>
      <header class="bar">
        <Brand />
        <span class={`connection ${connection}`} role="status" aria-label="Connection">
          {connectionText[connection]}
        </span>
        <button type="button" onClick={signOut}>
          Sign out
        </button>
      </header>
      <main class="workbench">
        <PromptForm models={models} onCreated={() => void refresh()} onSignedOut={signedOut} />
        <section aria-labelledby="videos">
          <h2 id="videos">Videos</h2>
          <TaskList tasks={shown} open={open} onCancel={cancel} onRetry={retry} onToggle={toggle} />
          {tasks.size >= limit && limit < mostTasks && (
            <button type="button" onClick={() => setLimit((l) => Math.min(l + pageSize, mostTasks))}>
              Show more
            </button>
          )}
        </section>
      </main>
      <div class="visually-hidden" role="log" aria-live="polite">
        {announcement}
      </div>
    </>
  );
}

/** useAnnouncements says aloud when a task changes its state, not at each frame. */
function useAnnouncements(tasks: Tasks, announce: (text: string) => void) {
  const before = useRef<Tasks | null>(null);
  useEffect(() => {
    const old = before.current;
    before.current = tasks;
    if (!old?.size) return; // what was there when the page opened is no news
    for (const task of tasks.values()) {
      if (old.get(task.id)?.status !== task.status) announce(`${statusName[task.status]}: ${task.prompt}`);
    }
  }, [tasks]);
}

function Brand() {
  return (
    <span class="brand">
      <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
        <rect width="32" height="32" rx="8" fill="currentColor" />
        <path
          d="M7 21c6 0 6-10 12-10h6M20 6l5 5-5 5"
          fill="none"
          stroke="#fff"
          stroke-width="3"
          stroke-linecap="round"
          stroke-linejoin="round"
        />
      </svg>
      Conduit
    </span>
  );
}
