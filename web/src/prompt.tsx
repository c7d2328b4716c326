import { useRef, useState } from 'preact/hooks';
import { api, ApiError, type Model, type VideoRequest } from './api';

const usualSizes = ['640x360', '854x480', '1280x720', '1920x1080', '720x720', '720x1280'];

/** PromptForm asks for a video and says so to onCreated. */
export function PromptForm(props: { models: Model[]; onCreated: (taskId: string) => void; onSignedOut: () => void }) {
  const [chosen, setChosen] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<{ message: string; field: string } | null>(null);
  const prompt = useRef<HTMLTextAreaElement>(null);
  // Sending the same form again after an answer that was lost must not make a second video.
  const attempt = useRef<{ request: string; key: string } | null>(null);

  const videoModels = props.models.filter((m) => m.conduit.kind === 'video');
  const model = videoModels.find((m) => m.id === chosen) ?? videoModels.find((m) => m.conduit.default) ?? videoModels[0];
  if (!model) return <section class="card prompt" aria-busy="true" aria-label="New video" />;
  const { size, duration, fps, max_prompt } = model.conduit;

  async function submit(event: Event) {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? '').trim();
    if (busy) return;
    const request: VideoRequest = {
      prompt: text('prompt'),
      model: model!.id,
      size: text('size').replace(/\s*[×xX]\s*/, 'x'),
      duration: Number(text('duration')),
      fps: Number(text('fps')),
      ...(text('seed') === '' ? {} : { seed: Number(text('seed')) }),
    };
    const same = JSON.stringify(request);
    if (attempt.current?.request !== same) attempt.current = { request: same, key: randomKey() };
    setBusy(true);
    setError(null);
    try {
      const created = await api.create(request, attempt.current.key);
      attempt.current = null;
      props.onCreated(created.task_id);
    } catch (e) {
      const failure = e as ApiError;
      if (failure.status !== 0 && failure.status < 500) attempt.current = null;
      if (failure.signedOut) props.onSignedOut();
      else setError({ message: failure.message, field: failure.param ?? '' });
    } finally {
      setBusy(false);
      prompt.current?.focus();
    }
  }

  const invalid = (field: string) =>
    error?.field === field ? ({ 'aria-invalid': 'true', 'aria-describedby': 'prompt-error' } as const) : {};

  return (
    <form class="card prompt" onSubmit={submit} aria-label="New video">
      <label for="prompt">Prompt</label>
      <textarea
        id="prompt"
        name="prompt"
        ref={prompt}
        rows={3}
        maxLength={max_prompt}
        required
        autofocus
        placeholder="A paper boat on a quiet pond"
        onKeyDown={(e) => {
          if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) e.currentTarget.form?.requestSubmit();
        }}
        {...invalid('prompt')}
      />
      <div class="fields">
        <div>
          <label for="model">Model</label>
          <select id="model" name="model" value={model.id} onChange={(e) => setChosen(e.currentTarget.value)}>
            {videoModels.map((m) => (
              <option key={m.id} value={m.id}>
                {m.id}
              </option>
            ))}
          </select>
        </div>
        <div>
          <label for="size">Size</label>
          <input
            id="size"
            name="size"
            key={model.id}
            list="sizes"
            defaultValue={size.default}
            pattern="\s*\d{2,5}\s*[x×X]\s*\d{2,5}\s*"
            title={`width x height, ${size.min} to ${size.max} pixels each`}
            required
            {...invalid('size')}
          />
          <datalist id="sizes">
            {[...new Set([size.default, ...usualSizes])].filter((s) => fits(s, size)).map((s) => (
              <option key={s} value={s} />
            ))}
          </datalist>
        </div>
        <NumberField key={`d${model.id}`} name="duration" label="Duration (s)" range={duration} {...invalid('duration')} />
        <NumberField key={`f${model.id}`} name="fps" label="Frames per second" range={fps} {...invalid('fps')} />
        <div>
          <label for="seed">Seed</label>
          <input id="seed" name="seed" type="number" step={1} placeholder="random" {...invalid('seed')} />
        </div>
      </div>
      <p id="prompt-error" class="error" role="alert">
        {error?.message}
      </p>
      <div class="submit">
        <button class="primary" type="submit" disabled={busy} aria-keyshortcuts="Control+Enter">
          {busy ? 'Sending…' : 'Generate video'}
        </button>
        <span class="quiet wide-only" aria-hidden="true">
          <kbd>Ctrl</kbd> + <kbd>Enter</kbd>
        </span>
      </div>
    </form>
  );
}

function NumberField(props: { name: string; label: string; range: { min: number; max: number; default: number } | null }) {
  const { name, label, range, ...rest } = props;
  return (
    <div>
      <label for={name}>{label}</label>
      <input
        id={name}
        name={name}
        type="number"
        step={1}
        required
        {...(range ? { min: range.min, max: range.max, defaultValue: String(range.default) } : {})}
        {...rest}
      />
    </div>
  );
}

function fits(size: string, limits: { min: number; max: number; multiple: number }): boolean {
  return size.split('x').every((n) => +n >= limits.min && +n <= limits.max && +n % limits.multiple === 0);
}

// crypto.randomUUID is missing on pages that are neither HTTPS nor local.
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}
