import { useEffect, useRef, useState } from 'preact/hooks';

const linkLifetime = 50 * 60_000; // milliseconds; links are signed for an hour

/** Player shows a finished video and renews its link when that has expired. */
export function Player(props: {
  url: string;
  mintedAt: number;
  label: string;
  size: string;
  renew: () => Promise<string | undefined>;
}) {
  const [url, setUrl] = useState(() => (Date.now() - props.mintedAt < linkLifetime ? props.url : ''));
  const [failed, setFailed] = useState(false);
  const renewed = useRef(false);
  const video = useRef<HTMLVideoElement>(null);
  const [width, height] = props.size.split('x').map(Number);

  async function renew() {
    if (renewed.current) return setFailed(true);
    renewed.current = true;
    try {
      const fresh = await props.renew();
      if (fresh) setUrl(fresh);
      else setFailed(true);
    } catch {
      setFailed(true);
    }
  }
  useEffect(() => {
    if (!url) void renew();
  }, []);

  function again() {
    renewed.current = false;
    setFailed(false);
    void renew();
  }

  if (failed) {
    return (
      <p class="error">
        The video could not be loaded. <button onClick={again}>Try again</button>
      </p>
    );
  }
  return (
    <video
      ref={video}
      controls
      loop
      playsInline
      muted
      preload="metadata"
      autoplay={!matchMedia('(prefers-reduced-motion: reduce)').matches}
      width={width}
      height={height}
      src={url || undefined}
      aria-label={`Video: ${props.label}`}
      onPlaying={() => (renewed.current = false)}
      onError={renew}
    />
  );
}
