// Who is signed in. The session's cookie carries the credential, so none is
// ever held in the page. Everything else goes through the SDK.

export type Scope = 'video' | 'image' | 'navigation' | 'admin';

export interface Session {
  scopes: readonly Scope[];
  expiresAt: string;
}

/** A refusal, in words for people. */
export class SessionError extends Error {
  constructor(
    /** HTTP status; 0 when there was no answer. */
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

async function call<T>(method: 'GET' | 'POST' | 'DELETE', body?: object): Promise<T> {
  let response: Response;
  try {
    response = await fetch('console/session', {
      method,
      cache: 'no-store',
      ...(body ? { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) } : {}),
    });
  } catch {
    throw new SessionError(0, 'Conduit does not answer.');
  }
  if (response.ok) return response.status === 204 ? (undefined as T) : ((await response.json()) as T);
  const told = await response.json().then(
    (answer: { error?: { message?: string } }) => answer.error?.message,
    () => undefined,
  );
  throw new SessionError(response.status, told ?? `Conduit answered ${response.status}.`);
}

export const whoIsIn = () => call<Session>('GET');
export const signIn = (credential: { key: string } | { code: string }) => call<void>('POST', credential);
export const signOut = () => call<void>('DELETE');

/**
 * takeLoginCode reads the one-time code of a login link (#login=CODE) and
 * removes it from the address bar and the history at once.
 */
export function takeLoginCode(): string | null {
  const code = new URLSearchParams(location.hash.slice(1)).get('login');
  if (code !== null) history.replaceState(null, '', location.pathname + location.search);
  return code;
}

// The other tabs of this browser have the same session.
const tabs = 'BroadcastChannel' in globalThis ? new BroadcastChannel('conduit-session') : undefined;

/** tellTabs says to the other tabs that who is signed in has changed. */
export const tellTabs = () => tabs?.postMessage('changed');

/** onTabs hears it, until the returned function is called. */
export function onTabs(changed: () => void): () => void {
  tabs?.addEventListener('message', changed);
  return () => tabs?.removeEventListener('message', changed);
}
