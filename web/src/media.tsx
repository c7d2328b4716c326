// What was made: a player for videos, a gallery for images.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Item, Medium } from './items';
import { drawStill } from './still';

type Renew = () => Promise<Medium[]>;

const linkLifetime = 50 * 60_000; // milliseconds; links are signed for an hour

/** useMedia gives links that are good, and renews them once when one does not load. */
function useMedia(item: Item, renew: Renew) {
  const given = item.media!;
  const [all, setAll] = useState<Medium[]>(() => (Date.now() - given.mintedAt < linkLifetime ? given.all : []));
  const [failed, setFailed] = useState(false);
  const renewal = useRef<'none' | 'asked' | 'done'>('none');

  async function again() {
    if (renewal.current === 'asked') return; // every image of a gallery tells
    if (renewal.current === 'done') return setFailed(true);
    renewal.current = 'asked';
    try {
      setAll(await renew());
      renewal.current = 'done';
    } catch {
      setFailed(true);
    }
  }
  useEffect(() => {
    if (all.length === 0) void again();
  }, []);
  return {
    all,
    failed,
    /** broken is told that a link did not load. */
    broken: () => void again(),
    works: () => {
      if (renewal.current === 'done') renewal.current = 'none';
    },
    retry: () => {
      renewal.current = 'none';
      setFailed(false);
      void again();
    },
  };
}

/** useSeen becomes true when an element has come near the window, so that a long list loads what is looked at. */
function useSeen<E extends Element>() {
  const ref = useRef<E>(null);
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (seen || !ref.current) return;
    const observer = new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && setSeen(true), { rootMargin: '400px' });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [seen]);
  return [ref, seen] as const;
}

interface Props {
  item: Item;
  /** It was made while this page was looking. */
  fresh: boolean;
  renew: Renew;
}

export function Media(props: Props) {
  const [ref, seen] = useSeen<HTMLDivElement>();
  return (
    <div ref={ref} class="media">
      {seen && (props.item.kind === 'video' ? <Player {...props} /> : <Gallery {...props} />)}
    </div>
  );
}

function Failed({ what, retry }: { what: string; retry: () => void }) {
  return (
    <div class="unloaded">
      <p>{what} could not be loaded.</p>
      <button type="button" onClick={retry}>
        Load again
      </button>
    </div>
  );
}

// A video that is there to be played holds one of the few connections that a
// browser opens to a server, played or not. So at most one is: the others show
// a still of themselves.
let onStage: (() => void) | undefined;

function Player({ item, fresh, renew }: Props) {
  const { all, failed, broken, works, retry } = useMedia(item, renew);
  // What has just been made plays by itself, unless somebody wants it calm.
  const [playing, play] = useState<'by itself' | 'asked for' | undefined>(() =>
    fresh && !matchMedia('(prefers-reduced-motion: reduce)').matches ? 'by itself' : undefined,
  );
  const player = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (!playing) return;
    if (playing === 'asked for') player.current?.focus(); // the button that asked is gone
    onStage?.();
    const leave = () => play(undefined);
    onStage = leave;
    return () => {
      if (onStage === leave) onStage = undefined;
    };
  }, [playing]);
  const video = all[0];
  if (failed) return <Failed what="The video" retry={retry} />;
  if (!video) return null;
  if (!playing) return <Still video={video} title={item.prompt} play={() => play('asked for')} works={works} broken={broken} />;
  return (
    <video
      ref={player}
      controls
      autoplay
      loop
      playsInline
      muted={playing === 'by itself'}
      preload="auto"
      width={video.width}
      height={video.height}
      src={video.url}
      aria-label={`Video: ${item.prompt}`}
      onPlaying={works}
      onError={broken}
    />
  );
}

function Still({ video, title, play, works, broken }: { video: Medium; title: string; play: () => void; works: () => void; broken: () => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const stop = new AbortController();
    drawStill(video.url, canvas.current!, stop.signal).then(works, () => stop.signal.aborted || broken());
    return () => stop.abort();
  }, [video.url]);
  return (
    <button type="button" class="still" onClick={play} aria-label={`Play video: ${title}`}>
      <canvas ref={canvas} width={video.width} height={video.height} />
      <svg viewBox="0 0 48 48" width="56" height="56" aria-hidden="true">
        <circle cx="24" cy="24" r="23" />
        <path d="M19 15.5v17l14-8.5z" />
      </svg>
    </button>
  );
}

function Gallery({ item, renew }: Props) {
  const { all, failed, broken, works, retry } = useMedia(item, renew);
  const [shown, show] = useState<number>();
  if (failed) return <Failed what="The images" retry={retry} />;
  const name = (i: number) => (all.length > 1 ? `Image ${i + 1} of ${all.length}` : 'Image');
  return (
    <>
      <div class="gallery" data-count={Math.min(all.length, 5)}>
        {all.map((image, i) => (
          <button key={i} type="button" onClick={() => show(i)} aria-label={`${name(i)}: ${item.prompt}. Open large.`}>
            <img src={image.url} width={image.width} height={image.height} alt="" loading="lazy" decoding="async" onLoad={works} onError={broken} />
          </button>
        ))}
      </div>
      {shown !== undefined && all[shown] && (
        <Lightbox image={all[shown]} title={item.prompt} name={name(shown)} count={all.length} go={(by) => show((shown + by + all.length) % all.length)} close={() => show(undefined)} />
      )}
    </>
  );
}

interface LightboxProps {
  image: Medium;
  title: string;
  name: string;
  count: number;
  go: (by: number) => void;
  close: () => void;
}

/** Lightbox shows one image large. The browser gives the focus back when it closes. */
function Lightbox({ image, title, name, count, go, close }: LightboxProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const keys = (event: KeyboardEvent) => {
    if (count > 1 && event.key === 'ArrowLeft') go(-1);
    if (count > 1 && event.key === 'ArrowRight') go(1);
  };
  const end = () => dialog.current?.close();
  return (
    <dialog ref={dialog} class="lightbox" aria-label={`${name}: ${title}`} onClose={close} onKeyDown={keys} onClick={(e) => e.target === dialog.current && end()}>
      <figure>
        <img src={image.url} width={image.width} height={image.height} alt={`${name}: ${title}`} />
        <figcaption>
          <span aria-live="polite">
            {name}
            <span class="quiet">
              {' '}
              {image.width} × {image.height}
            </span>
          </span>
          <span class="actions">
            {count > 1 && (
              <>
                <button type="button" class="turn" aria-label="Previous" onClick={() => go(-1)}>
                  ‹
                </button>
                <button type="button" class="turn" aria-label="Next" onClick={() => go(1)}>
                  ›
                </button>
              </>
            )}
            <a class="button" href={image.url} download="">
              Download
            </a>
            <button type="button" onClick={end}>
              Close
            </button>
          </span>
        </figcaption>
      </figure>
    </dialog>
  );
}
