import { AuthenticationError, type ImageEvent, type VideoEvent } from '@knn_labs/conduit-core-client';
import { useConduit, useImageProgress, useVideoProgress } from '@knn_labs/conduit-core-client/react';
import { memo } from 'preact/compat';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Outage } from './connection';
import { after, ended, ownLink, statusName, step, type Item } from './items';
import { Media } from './media';
import { TimelineView } from './timeline';
import { when } from './words';

interface Props {
  item: Item;
  /** It was made since the page is open; one that was quick may have come here at its end only. */
  made: boolean;
  outages: readonly Outage[];
  /** An event has been seen that the list should know. */
  onEvent: (event: VideoEvent | ImageEvent) => void;
  onRetry: (item: Item) => Promise<void>;
  onReuse: (item: Item) => void;
  onSignedOut: () => void;
}

/** useLive is a task as its hub tells it, from moment to moment, while it has not ended. */
function useLive(item: Item, onEvent: Props['onEvent']): Item {
  const id = ended(item.status) ? null : item.id;
  const video = useVideoProgress(item.kind === 'video' ? id : null);
  const image = useImageProgress(item.kind === 'image' ? id : null);
  const event = video.event ?? image.event;
  // The list hears of what changes a task's state; progress is this card's own.
  const turn = event && (event.eventType.endsWith('Progress') ? event.attempt : event.sequence);
  useEffect(() => {
    if (event) onEvent(event);
  }, [turn]);
  return event && event.sequence > item.sequence ? after(item, event) : item;
}

/** Card is one task. */
export const Card = memo(function Card({ item, made, outages, onEvent, onRetry, onReuse, onSignedOut }: Props) {
  const client = useConduit();
  const live = useLive(item, onEvent);
  const [fresh] = useState(made || !ended(live.status));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const [open, setOpen] = useState(false);
  // A player stays, also where a summary of the end comes before the result.
  const kept = useRef(live.media);
  const media = (kept.current = live.media ?? kept.current);
  const heading = useRef<HTMLHeadingElement>(null);
  const acted = useRef(false);
  const title = `title-${item.id}`;
  const tasks = item.kind === 'video' ? client.videos : client.images;

  // A button that goes with its task's state leaves the focus to the task.
  useEffect(() => {
    if (acted.current && (!document.activeElement || document.activeElement === document.body)) heading.current?.focus();
    acted.current = false;
  }, [live.status]);

  async function run(action: () => Promise<void>) {
    if (busy) return;
    acted.current = true;
    setBusy(true);
    setError('');
    try {
      await action();
    } catch (failure) {
      if (failure instanceof AuthenticationError) return onSignedOut();
      setError((failure as Error).message);
    } finally {
      setBusy(false);
    }
  }
  const renew = async () => ((await tasks.get(item.id)).result?.data ?? []).map(({ url, metadata: { width, height } }) => ({ url: ownLink(url), width, height }));
  const retry = () => onRetry(item);
  const cancel = async () => void (await tasks.cancel(item.id));
  const download = async () => {
    for (const { url } of await renew()) save(url);
  };

  const running = !ended(live.status);
  return (
    <li class={`card ${open ? 'wide' : ''}`} data-task={item.id} data-status={live.status} aria-labelledby={title}>
      <div class={`stage ${live.status}`} style={running ? { '--done': `${live.progress}%` } : undefined}>
        {live.status === 'completed' && media && <Media item={live.media ? live : { ...live, media }} fresh={fresh} renew={renew} />}
        {running && <Running item={live} title={title} />}
        {ended(live.status) && live.status !== 'completed' && <p class="outcome">{live.status === 'cancelled' ? 'Cancelled' : live.error || statusName[live.status]}</p>}
      </div>
      <div class="about">
        <header>
          <h3 id={title} ref={heading} tabIndex={-1} title={live.prompt.length > 90 ? live.prompt : undefined}>
            {live.prompt}
          </h3>
          <span class={`chip ${live.status}`}>{statusName[live.status]}</span>
        </header>
        <p class="quiet facts">{facts(live)}</p>
        <p class="error" role="alert">
          {error}
        </p>
        <div class="actions">
          {running && (
            <button type="button" aria-disabled={busy} onClick={() => run(cancel)} aria-describedby={title}>
              Cancel
            </button>
          )}
          {!running && live.status !== 'completed' && (
            <button type="button" aria-disabled={busy} onClick={() => run(retry)} aria-describedby={title}>
              Try again
            </button>
          )}
          {live.status === 'completed' && (
            <button type="button" aria-disabled={busy} onClick={() => run(download)} aria-describedby={title}>
              Download
            </button>
          )}
          <button type="button" onClick={() => onReuse(live)} aria-describedby={title}>
            Reuse
          </button>
          <button type="button" aria-expanded={open} aria-controls={open ? `timeline-${item.id}` : undefined} onClick={() => setOpen(!open)} aria-describedby={title}>
            Timeline
          </button>
        </div>
      </div>
      {open && <TimelineView item={item} outages={outages} id={`timeline-${item.id}`} />}
    </li>
  );
});

function Running({ item, title }: { item: Item; title: string }) {
  const words = step(item);
  const { progress } = item;
  return (
    <>
      <p class="figure" aria-hidden="true">
        {item.status === 'running' ? (
          <>
            {progress}
            <span>%</span>
          </>
        ) : (
          '…'
        )}
      </p>
      <p class="step">{words}</p>
      <progress max={100} value={progress} aria-labelledby={title} aria-valuetext={item.status === 'pending' ? words : `${words} at ${progress} %`} />
    </>
  );
}

function facts(item: Item): string {
  const { task } = item;
  const about = task && [
    task.size.replace('x', ' × '),
    task.duration && `${task.duration} s`,
    task.fps && `${task.fps} fps`,
    task.kind === 'image' && `${task.n} ${task.n === 1 ? 'image' : 'images'}`,
    `seed ${task.seed}`,
  ];
  return [...(about || []), item.model, when(item.createdAt)].filter(Boolean).join(' · ');
}

function save(url: string) {
  const link = document.createElement('a');
  link.href = url;
  link.download = ''; // the server names it
  link.click();
}
