import { useEffect, useRef, useState } from 'preact/hooks';
import { api, ApiError } from './api';

/**
 * takeLoginCode reads the one-time code of a login link (#login=CODE) and
 * removes it from the address bar and the history at once.
 */
export function takeLoginCode(): string | null {
  const code = new URLSearchParams(location.hash.slice(1)).get('login');
  if (code !== null) history.replaceState(null, '', location.pathname + location.search);
  return code;
}

/** SignIn asks for a virtual key. */
export function SignIn({ notice, onSignedIn }: { notice: string; onSignedIn: () => void }) {
  const [error, setError] = useState(notice);
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  useEffect(() => setError(notice), [notice]);

  async function submit(event: Event) {
    event.preventDefault();
    const key = field.current!.value.trim();
    if (!key || busy) return;
    setBusy(true);
    setError('');
    try {
      await api.signIn({ key });
      onSignedIn();
    } catch (e) {
      setError((e as ApiError).message);
      setBusy(false);
      field.current?.focus();
    }
  }

  return (
    <main class="signin">
      <form class="card" onSubmit={submit}>
        <h1>Sign in</h1>
        <p class="quiet">
          Paste a virtual key. The first one was printed when Conduit started for the first time;{' '}
          <code>conduit keys create</code> makes more.
        </p>
        <label for="key">Virtual key</label>
        <input
          id="key"
          ref={field}
          type="password"
          autocomplete="current-password"
          spellcheck={false}
          placeholder="condt_…"
          required
          aria-describedby={error ? 'signin-error' : undefined}
          aria-invalid={error ? 'true' : undefined}
        />
        <p id="signin-error" class="error" role="alert">
          {error}
        </p>
        <button class="primary" type="submit" disabled={busy}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
      </form>
    </main>
  );
}
