// A task's life, event by event. A watch tells what comes; where it leaves
// something out, the history is read, so that no sequence is missing.

import type { ImageEvent, VideoEvent } from '@knn_labs/conduit-core-client';
import { useConduit } from '@knn_labs/conduit-core-client/react';
import { useEffect, useRef, useState } from 'preact/hooks';
import { seconds, type Outage } from './connection';
import type { Item } from './items';
import { clock, precise } from './words';

type TaskEvent = VideoEvent | ImageEvent;

interface Timeline {
  /** By sequence, from 1; a hole is one that is not there yet. */
  events: readonly TaskEvent[];
  /** Events that are known to be missing. */
  missing: number;
  /** Why there is nothing more. */
  error: string;
  over: boolean;
}

const retryAfter = 2_000; // milliseconds, where the history could not be read

/** useTimeline follows a task's events, all of them. */
function useTimeline(item: Item): Timeline {
  const client = useConduit();
  const [timeline, set] = useState<Timeline>({ events: [], missing: 0, error: '', over: false });
  useEffect(() => {
    const tasks = item.kind === 'video' ? client.videos : client.images;
    const stop = new AbortController();
    const known = new Map<number, TaskEvent>();
    let error = '';
    let over = false;
    let filling = false;
    let timer: ReturnType<typeof setTimeout> | undefined;

    const show = () => {
      const events = [...known.values()].sort((a, b) => a.sequence - b.sequence);
      set({ events, missing: (events.at(-1)?.sequence ?? 0) - events.length, error, over });
    };
    /** whole is the sequence up to which none is missing. */
    const whole = () => {
      let n = 0;
      while (known.has(n + 1)) n++;
      return n;
    };
    const newest = () => Math.max(0, ...known.keys());
    const fill = async () => {
      if (filling || stop.signal.aborted) return;
      filling = true;
      try {
        while (whole() < newest()) {
          for (const event of await tasks.history(item.id, { afterSequence: whole(), signal: stop.signal })) known.set(event.sequence, event);
          show();
        }
      } catch {
        if (!stop.signal.aborted) timer = setTimeout(() => void fill(), retryAfter);
      } finally {
        filling = false;
      }
    };
    const onEvent = (event: TaskEvent) => {
      known.set(event.sequence, event);
      over ||= !/(Started|Progress)$/.test(event.eventType);
      show();
      if (whole() < event.sequence) void fill();
    };
    const onError = (failure: unknown) => {
      if (stop.signal.aborted) return;
      error = (failure as Error).message;
      show();
    };
    tasks.watch(item.id, { onEvent, onError, signal: stop.signal });
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [client, item.id]);
  return timeline;
}

/** useMarks puts what happened to the connection between the events that were known then. */
function useMarks(outages: readonly Outage[], newest: number) {
  const marks = useRef(new Map<number, { after: number; outage: Outage }>());
  const [opened] = useState(Date.now);
  for (const outage of outages) {
    if (outage.backAt !== undefined && outage.backAt < opened) continue;
    marks.current.set(outage.lostAt, { after: marks.current.get(outage.lostAt)?.after ?? newest, outage });
  }
  return [...marks.current.values()];
}

export function TimelineView({ item, outages, id }: { item: Item; outages: readonly Outage[]; id: string }) {
  const { events, missing, error, over } = useTimeline(item);
  const newest = events.at(-1)?.sequence ?? 0;
  const marks = useMarks(outages, newest);
  const list = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  useEffect(() => {
    if (list.current && atEnd.current) list.current.scrollTop = list.current.scrollHeight;
  }, [newest, missing, outages]);

  const rows = events.map((event) => <EventRow key={event.sequence} event={event} />);
  const marked = marks.map(({ after, outage }) => ({ after, row: <OutageRow key={`lost-${outage.lostAt}`} outage={outage} /> }));
  return (
    <div class="timeline" id={id}>
      <code class="quiet">{item.id}</code>
      <p class="quiet">
        {events.length === 0 && !error && 'Reading…'}
        {events.length > 0 && (missing > 0 ? `${events.length} of ${newest} events, the others are being read` : `${count(events.length)}, none missing${over ? '' : ' so far'}`)}
        {error && ` ${error}`}
      </p>
      <div
        class="events"
        ref={list}
        tabIndex={0}
        role="group"
        aria-label="Events"
        onScroll={(e) => {
          const { scrollTop, clientHeight, scrollHeight } = e.currentTarget;
          atEnd.current = scrollTop + clientHeight > scrollHeight - 40;
        }}
      >
        <ol>
          {marked.filter((m) => m.after === 0).map((m) => m.row)}
          {rows.flatMap((row, i) => [row, ...marked.filter((m) => m.after === events[i]!.sequence).map((m) => m.row)])}
        </ol>
      </div>
    </div>
  );
}

const count = (n: number) => `${n} ${n === 1 ? 'event' : 'events'}`;

function EventRow({ event }: { event: TaskEvent }) {
  const name = event.eventType.replace(/^(Video|Image)Generation/, '');
  return (
    <li class={`event ${name}`} data-sequence={event.sequence}>
      <span class="sequence">{event.sequence}</span>
      <span class="name">{name}</span>
      <span class="what">{what(event)}</span>
      <time dateTime={event.timestamp.toISOString()}>{precise(event.timestamp)}</time>
    </li>
  );
}

function what(event: TaskEvent): string {
  switch (event.eventType) {
    case 'VideoGenerationStarted':
    case 'ImageGenerationStarted':
      return `attempt ${event.attempt}`;
    case 'VideoGenerationProgress':
    case 'ImageGenerationProgress':
      return `${event.progress} %${event.message ? ` · ${event.message}` : ''}`;
    case 'VideoGenerationCompleted':
      return `${event.metadata.width} × ${event.metadata.height} · ${event.duration} s`;
    case 'ImageGenerationCompleted':
      return `${event.images.length} × ${event.metadata.width} × ${event.metadata.height}`;
    case 'VideoGenerationFailed':
    case 'ImageGenerationFailed':
      return `${event.error}${event.errorCode ? ` (${event.errorCode})` : ''}`;
    default:
      return '';
  }
}

function OutageRow({ outage: { lostAt, backAt } }: { outage: Outage }) {
  return (
    <li class="event outage">
      <span class="sequence" aria-hidden="true">
        –
      </span>
      <span class="name">Connection lost</span>
      <span class="what">{backAt ? `back after ${seconds(backAt - lostAt)}` : 'trying again'}</span>
      <time>{clock(lostAt)}</time>
    </li>
  );
}
