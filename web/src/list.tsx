import { memo } from 'preact/compat';
import { useState } from 'preact/hooks';
import { api, ApiError } from './api';
import { Player } from './player';
import { canRetry, describe, ended, fromView, statusName, type Task } from './tasks';

interface Actions {
  onCancel: (task: Task) => Promise<void>;
  onRetry: (task: Task) => Promise<void>;
  onToggle: (task: Task) => void;
}

export function TaskList({ tasks, open, ...actions }: { tasks: Task[]; open: ReadonlySet<string> } & Actions) {
  if (tasks.length === 0) return <p class="empty quiet">No videos yet. Write a prompt and watch it happen.</p>;
  return (
    <ul class="tasks">
      {tasks.map((task) => (
        <TaskCard key={task.id} task={task} open={open.has(task.id)} {...actions} />
      ))}
    </ul>
  );
}

const TaskCard = memo(function TaskCard({ task, open, onCancel, onRetry, onToggle }: { task: Task; open: boolean } & Actions) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const title = `title-${task.id}`;

  async function run(action: (task: Task) => Promise<void>) {
    setBusy(true);
    setError('');
    try {
      await action(task);
    } catch (e) {
      setError((e as ApiError).message);
    } finally {
      setBusy(false);
    }
  }

  return (
    <li class="card task" data-task={task.id} data-status={task.status} aria-labelledby={title}>
      <header>
        <h3 id={title}>{task.prompt}</h3>
        <span class={`chip ${task.status}`}>{statusName[task.status]}</span>
      </header>
      <p class="quiet facts">
        {[
          task.size.replace('x', ' × '),
          task.duration && `${task.duration} s`,
          task.fps && `${task.fps} fps`,
          `seed ${task.seed}`,
          task.model,
        ]
          .filter(Boolean)
          .join(' · ')}{' '}
        · <time dateTime={task.createdAt}>{when(task.createdAt)}</time>
      </p>
      {!ended(task.status) && (
        <div class="progress">
          <progress
            max={100}
            {...(task.status === 'running' ? { value: task.progress } : { value: 0 })}
            aria-labelledby={title}
            aria-valuetext={describe(task)}
          />
          <span class="how-far">{describe(task)}</span>
        </div>
      )}
      {(task.status === 'failed' || task.status === 'timed_out') && <p class="error">{describe(task)}</p>}
      {task.status === 'completed' && task.video && open && (
        <Player url={task.video.url} mintedAt={task.video.mintedAt} label={task.prompt} size={task.size} renew={() => renew(task.id)} />
      )}
      <p class="error" role="alert">
        {error}
      </p>
      <div class="actions">
        {!ended(task.status) && (
          <button type="button" disabled={busy} onClick={() => run(onCancel)} aria-describedby={title}>
            Cancel
          </button>
        )}
        {canRetry(task.status) && (
          <button type="button" disabled={busy} onClick={() => run(onRetry)} aria-describedby={title}>
            Try again
          </button>
        )}
        {task.status === 'completed' && task.video && (
          <>
            <button type="button" onClick={() => onToggle(task)} aria-expanded={open} aria-describedby={title}>
              {open ? 'Hide video' : 'Show video'}
            </button>
            <button type="button" disabled={busy} onClick={() => run(download)} aria-describedby={title}>
              Download
            </button>
          </>
        )}
      </div>
    </li>
  );
});

async function renew(id: string): Promise<string | undefined> {
  return fromView(await api.task(id)).video?.url;
}

// Links are good for an hour only, so a download asks for a new one.
async function download(task: Task): Promise<void> {
  const url = await renew(task.id);
  if (!url) return;
  const link = document.createElement('a');
  link.href = url;
  link.download = ''; // the server names it
  link.click();
}

function when(iso: string): string {
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  return at.toLocaleString(undefined, today ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' });
}
