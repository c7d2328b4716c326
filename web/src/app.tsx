import { useCallback, useEffect, useState } from 'preact/hooks';
import { Brand } from './brand';
import { onTabs, SessionError, signIn, takeLoginCode, tellTabs, whoIsIn, type Session } from './session';
import { SignIn } from './signin';
import { Workbench } from './workbench';

type Who = { state: 'asking' } | { state: 'out' } | { state: 'in'; session: Session };

/** App decides between the sign-in and the workbench. */
export function App({ loginCode }: { loginCode: string | null }) {
  const [who, setWho] = useState<Who>({ state: 'asking' });
  const [notice, setNotice] = useState('');

  const enter = useCallback(async (code: string | null) => {
    let refusal = '';
    for (let first = true; ; first = false) {
      try {
        if (code !== null) {
          await signIn({ code });
          code = null;
          tellTabs();
        }
        const session = await whoIsIn();
        setNotice('');
        return setWho({ state: 'in', session });
      } catch (e) {
        const error = e as SessionError;
        if (error.status === 0 || error.status >= 500) {
          setNotice('Conduit does not answer. Trying again…');
          await new Promise((resolve) => setTimeout(resolve, first ? 500 : 2_000));
        } else if (code !== null) {
          refusal = error.message; // a used link is no reason to be signed out
          code = null;
        } else {
          setNotice(refusal);
          return setWho({ state: 'out' });
        }
      }
    }
  }, []);

  useEffect(() => {
    void enter(loginCode);
    const onHash = () => {
      const code = takeLoginCode(); // a login link opened in this very tab
      if (code === null) return;
      setWho({ state: 'asking' });
      void enter(code);
    };
    addEventListener('hashchange', onHash);
    const undo = onTabs(() => {
      setWho({ state: 'asking' }); // another key may be signed in now
      void enter(null);
    });
    return () => {
      removeEventListener('hashchange', onHash);
      undo();
    };
  }, []);

  const leave = useCallback((reason: string) => {
    setNotice(reason);
    setWho({ state: 'out' });
  }, []);

  if (who.state === 'in') return <Workbench session={who.session} onSignedOut={leave} />;
  return (
    <>
      <header class="bar">
        <Brand />
      </header>
      {who.state === 'out' ? (
        <SignIn notice={notice} onSignedIn={() => void enter(null)} />
      ) : (
        <main class="signin">
          <p class="quiet" role="status">
            {notice || 'Signing in…'}
          </p>
        </main>
      )}
    </>
  );
}
