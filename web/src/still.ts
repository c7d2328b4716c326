// Stills of videos, one after the other, so that they take no more than one
// connection from the page.

const patience = 20_000; // milliseconds for one
const where = 0.4; // of the duration

let last: Promise<unknown> = Promise.resolve();

/** drawStill draws a frame of a video. It rejects when the video does not load, and when the signal comes first. */
export function drawStill(url: string, canvas: HTMLCanvasElement, signal: AbortSignal): Promise<void> {
  const drawn = last.then(() => draw(url, canvas, AbortSignal.any([signal, AbortSignal.timeout(patience)])));
  last = drawn.catch(() => {});
  return drawn;
}

async function draw(url: string, canvas: HTMLCanvasElement, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const video = document.createElement('video');
  try {
    video.muted = true;
    video.preload = 'metadata';
    video.src = url;
    await happens(video, 'loadedmetadata', signal);
    video.currentTime = video.duration * where;
    await happens(video, 'seeked', signal);
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext('2d')?.drawImage(video, 0, 0);
  } finally {
    video.removeAttribute('src');
    video.load(); // lets the connection go
  }
}

function happens(video: HTMLVideoElement, event: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    video.addEventListener(event, () => resolve(), { once: true });
    video.addEventListener('error', () => reject(new Error(`media error ${video.error?.code}`)), { once: true });
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
