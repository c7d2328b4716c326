import { useEffect, useRef, useState } from 'preact/hooks';
import { signIn, tellTabs } from './session';

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
      await signIn({ key });
      tellTabs();
      onSignedIn();
    } catch (refused) {
      setError((refused as Error).message);
      setBusy(false);
      field.current?.focus();
    }
  }

  return (
    <main class="signin">
      <form class="sheet" onSubmit={submit}>
        <h2>Sign in</h2>
        <p class="quiet">Paste a virtual key. The first one was printed when Conduit started for the first time.</p>
        {/* Keeps password stores from asking whose key it is. */}
        <input type="text" autocomplete="username" value="conduit" readOnly hidden />
        <div class="field">
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
        </div>
        <p id="signin-error" class="error" role="alert">
          {error}
        </p>
        <button class="primary" type="submit" aria-disabled={busy}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
        <p class="hint quiet">
          <code>conduit login</code> prints a link that signs in; <code>conduit keys create</code> makes more keys.
        </p>
      </form>
    </main>
  );
}
