import { AuthenticationError, ApiError, ConnectionError, type Model, type NavigationState, type TaskKind } from '@knn_labs/conduit-core-client';
import { useConduit } from '@knn_labs/conduit-core-client/react';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Item } from './items';

const usualSizes: Record<TaskKind, readonly string[]> = {
  video: ['640x360', '854x480', '1280x720', '1920x1080', '720x720', '720x1280'],
  image: ['512x512', '1024x1024', '1280x720', '720x1280', '1920x1080'],
};

/** What the form holds, as typed. */
interface Draft {
  kind: TaskKind;
  prompt: string;
  model: string;
  size: string;
  duration: string;
  fps: string;
  n: string;
  seed: string;
}

const blank = (kind: TaskKind): Draft => ({ kind, prompt: '', model: '', size: '', duration: '', fps: '', n: '1', seed: '' });

/** draftOf is the form that would make a task again. */
function draftOf({ kind, prompt, model, task }: Item): Draft {
  const { size = '', duration, fps, n = 1, seed } = task ?? {};
  const text = (value: number | null | undefined) => (value === null || value === undefined ? '' : String(value));
  return { kind, prompt, model, size, duration: text(duration), fps: text(fps), n: String(n), seed: text(seed) };
}

/** What the form is to be filled with; every one anew, also when it is the same twice. */
export type Fill = { item: Item } | { prompt: string };

interface Props {
  kinds: readonly TaskKind[];
  models: readonly Model[];
  navigation: NavigationState | undefined;
  fill: Fill | undefined;
  onCreated: () => void;
  onSignedOut: () => void;
}

/** Composer asks for a video or for images. */
export function Composer({ kinds, models, navigation, fill, onCreated, onSignedOut }: Props) {
  const client = useConduit();
  const [draft, setDraft] = useState<Draft>(() => blank(kinds[0] ?? 'video'));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<{ message: string; field: string }>();
  const [wide] = useState(() => matchMedia('(min-width: 60rem)').matches);
  const prompt = useRef<HTMLTextAreaElement>(null);
  // Sending the same form again after an answer that was lost must not make a second task.
  const attempt = useRef<{ request: string; key: string } | undefined>(undefined);

  useEffect(() => prompt.current?.focus({ preventScroll: true }), []);
  useEffect(() => {
    if (!fill) return;
    setDraft((old) => ('item' in fill ? draftOf(fill.item) : { ...old, prompt: fill.prompt }));
    setError(undefined);
    prompt.current?.focus();
  }, [fill]);

  const ofKind = models.filter((m) => m.conduit.kind === draft.kind);
  const model = ofKind.find((m) => m.id === draft.model) ?? ofKind.find((m) => m.conduit.default) ?? ofKind[0];
  const limits = model?.conduit;
  const standing = navigation?.models.find((m) => m.modelId === model?.id);
  const values = {
    size: draft.size || limits?.size.default || '',
    duration: draft.duration || String(limits?.duration?.default ?? ''),
    fps: draft.fps || String(limits?.fps?.default ?? ''),
  };
  const set = (part: Partial<Draft>) => setDraft((old) => ({ ...old, ...part }));
  const video = draft.kind === 'video';

  async function submit(event: Event) {
    event.preventDefault();
    if (busy || !model) return;
    const common = {
      prompt: draft.prompt.trim(),
      model: model.id,
      size: values.size.trim().replace(/\s*[×xX]\s*/, 'x'),
      ...(draft.seed.trim() === '' ? {} : { seed: Number(draft.seed) }),
    };
    const film = { ...common, duration: Number(values.duration), fps: Number(values.fps) };
    const pictures = { ...common, n: Number(draft.n) };
    const same = JSON.stringify(video ? film : pictures);
    if (attempt.current?.request !== same) attempt.current = { request: same, key: randomKey() };
    setBusy(true);
    setError(undefined);
    try {
      const options = { idempotencyKey: attempt.current.key };
      await (video ? client.videos.generateAsync(film, options) : client.images.generateAsync(pictures, options));
      attempt.current = undefined;
      onCreated();
    } catch (failure) {
      if (failure instanceof AuthenticationError) return onSignedOut();
      if (failure instanceof ApiError && failure.status < 500) attempt.current = undefined;
      const message = failure instanceof ConnectionError ? 'Conduit does not answer. Nothing is lost: send it again in a moment.' : (failure as Error).message;
      setError({ message, field: (failure instanceof ApiError && failure.param) || '' });
    } finally {
      setBusy(false);
    }
  }

  const field = (name: keyof Draft) => ({
    id: name,
    name,
    ...(error?.field === name ? ({ 'aria-invalid': 'true', 'aria-describedby': 'composer-error' } as const) : {}),
  });
  const typed = (name: keyof Draft) => (event: { currentTarget: HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement }) =>
    set({ [name]: event.currentTarget.value });

  return (
    <form class="sheet composer" onSubmit={submit} aria-labelledby="composer-title">
      <h2 id="composer-title" class="visually-hidden">
        Create
      </h2>
      {kinds.length > 1 && (
        <fieldset class="segments">
          <legend class="visually-hidden">What to make</legend>
          {kinds.map((kind) => (
            <label key={kind}>
              <input type="radio" name="kind" value={kind} checked={draft.kind === kind} onChange={() => setDraft((old) => ({ ...blank(kind), prompt: old.prompt }))} />
              <span>{kind === 'video' ? 'Video' : 'Images'}</span>
            </label>
          ))}
        </fieldset>
      )}
      <div class="field">
        <label for="prompt">Prompt</label>
        <textarea
          {...field('prompt')}
          ref={prompt}
          rows={4}
          maxLength={limits?.max_prompt}
          required
          placeholder={video ? 'A paper boat on a quiet pond' : 'A lighthouse in the morning fog'}
          value={draft.prompt}
          onInput={typed('prompt')}
          onKeyDown={(e) => {
            if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) e.currentTarget.form?.requestSubmit();
          }}
        />
      </div>
      <details class="settings" open={wide}>
        <summary>
          Settings
          <span class="quiet">
            {values.size.replace('x', ' × ')}
            {video ? ` · ${values.duration} s · ${values.fps} fps` : ` · ${draft.n}`}
          </span>
        </summary>
        <div class="fields">
          <div class="field whole">
            <label for="model">Model</label>
            <select {...field('model')} value={model?.id ?? ''} onChange={typed('model')}>
              {ofKind.map((m) => (
                <option key={m.id} value={m.id}>
                  {m.id}
                </option>
              ))}
            </select>
          </div>
          <div class="field whole">
            <label for="size">Size</label>
            <input
              {...field('size')}
              list="sizes"
              value={values.size}
              onInput={typed('size')}
              pattern="\s*\d{2,5}\s*[x×X]\s*\d{2,5}\s*"
              title={limits && `width x height, ${limits.size.min} to ${limits.size.max} pixels each`}
              required
            />
            <datalist id="sizes">
              {limits && [...new Set([limits.size.default, ...usualSizes[draft.kind]])].filter((s) => fits(s, limits.size)).map((s) => <option key={s} value={s} />)}
            </datalist>
          </div>
          {video && (
            <>
              <div class="field">
                <label for="duration">Duration (s)</label>
                <input {...field('duration')} type="number" step={1} required {...range(limits?.duration)} value={values.duration} onInput={typed('duration')} />
              </div>
              <div class="field">
                <label for="fps">Frames per second</label>
                <input {...field('fps')} type="number" step={1} required {...range(limits?.fps)} value={values.fps} onInput={typed('fps')} />
              </div>
            </>
          )}
          {!video && (
            <div class="field">
              <label for="n">Number of images</label>
              <input {...field('n')} type="number" step={1} required min={1} max={limits?.max_n} value={draft.n} onInput={typed('n')} />
            </div>
          )}
          <div class={`field ${video ? 'whole' : ''}`}>
            <label for="seed">Seed</label>
            <input {...field('seed')} type="number" step={1} placeholder="random" value={draft.seed} onInput={typed('seed')} />
          </div>
        </div>
      </details>
      {standing && !standing.available && (
        <p class="warning" role="status">
          {standing.modelId} cannot be used now{standing.reason ? `: ${standing.reason}` : ''}. What you send waits until it can.
        </p>
      )}
      <p id="composer-error" class="error" role="alert">
        {error?.message}
      </p>
      <button class="primary" type="submit" aria-disabled={busy || !model} aria-keyshortcuts="Control+Enter">
        {busy ? 'Sending…' : video ? 'Generate video' : Number(draft.n) > 1 ? 'Generate images' : 'Generate image'}
        <kbd aria-hidden="true">Ctrl ↵</kbd>
      </button>
    </form>
  );
}

const range = (limits: { min: number; max: number } | null | undefined) => (limits ? { min: limits.min, max: limits.max } : {});

function fits(size: string, limits: { min: number; max: number; multiple: number }): boolean {
  return size.split('x').every((n) => +n >= limits.min && +n <= limits.max && +n % limits.multiple === 0);
}

// crypto.randomUUID is missing on pages that are neither HTTPS nor local.
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}
