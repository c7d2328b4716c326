// For admins: connections that are not as they should be, as this instance has
// counted them.

import { AuthenticationError, type AbnormalConnections } from '@knn_labs/conduit-core-client';
import { useConduit } from '@knn_labs/conduit-core-client/react';
import { useEffect, useState } from 'preact/hooks';
import { when } from './words';

const refreshEvery = 5_000; // milliseconds, while it is looked at

const patternNames: Record<string, [name: string, meaning: string]> = {
  failed_negotiations: ['Failed negotiations', 'refused requests to hubs'],
  unknown_tasks: ['Unknown tasks', 'subscriptions to tasks that there are not, or that are another key’s'],
  reconnect_storms: ['Reconnect storms', 'connections that were opened'],
  oversized_messages: ['Oversized messages', 'messages above the limit'],
  rate_limit_disconnections: ['Closed for their rate', 'connections that went on after refused calls'],
};

const nameOf = (pattern: string) => patternNames[pattern]?.[0] ?? pattern.replaceAll('_', ' ');

export function Abnormal({ onSignedOut }: { onSignedOut: () => void }) {
  const client = useConduit();
  const [report, setReport] = useState<AbnormalConnections>();
  const [error, setError] = useState('');
  useEffect(() => {
    const stop = new AbortController();
    const read = () => {
      if (document.visibilityState !== 'visible') return;
      client.admin.abnormal({ signal: stop.signal }).then(
        (told) => {
          setReport(told);
          setError('');
        },
        (failure: Error) => {
          if (stop.signal.aborted) return;
          if (failure instanceof AuthenticationError) onSignedOut();
          setError(failure.message);
        },
      );
    };
    read();
    const timer = setInterval(read, refreshEvery);
    document.addEventListener('visibilitychange', read);
    return () => {
      stop.abort();
      clearInterval(timer);
      document.removeEventListener('visibilitychange', read);
    };
  }, [client]);

  return (
    <section class="admin" aria-labelledby="admin-title">
      <header>
        <h2 id="admin-title">Abnormal connections</h2>
        {report && (
          <p class="quiet">
            Of this instance, since {when(Date.parse(report.since))}. Limits hold for {report.window_seconds} s, for each key and each address; who is above one is slowed down.
          </p>
        )}
      </header>
      <p class="error" role="alert">
        {error}
      </p>
      {!report && !error && <p class="quiet">Reading…</p>}
      {report && (
        <>
          <ul class="patterns">
            {report.patterns.map(({ pattern, total, exceeded, limit }) => (
              <li key={pattern} class="sheet" data-pattern={pattern}>
                <h3>{nameOf(pattern)}</h3>
                <p class="total">{total.toLocaleString()}</p>
                <p class="quiet">{patternNames[pattern]?.[1]}</p>
                <p class={exceeded > 0 ? 'above' : 'quiet'}>
                  {exceeded === 0 ? 'Never' : exceeded === 1 ? 'Once' : `${exceeded.toLocaleString()} times`} above the limit of {limit}
                </p>
              </li>
            ))}
          </ul>
          <Subjects report={report} />
        </>
      )}
    </section>
  );
}

function Subjects({ report }: { report: AbnormalConnections }) {
  if (report.data.length === 0) return <p class="quiet calm">Nobody stands out.</p>;
  return (
    <div class="sheet scroller" role="group" tabIndex={0} aria-labelledby="subjects">
      <table>
        <caption id="subjects">Who stands out</caption>
        <thead>
          <tr>
            <th scope="col">Key or address</th>
            <th scope="col">Pattern</th>
            <th scope="col" class="number">
              Count
            </th>
            <th scope="col" class="number">
              Limit
            </th>
            <th scope="col">Last seen</th>
          </tr>
        </thead>
        <tbody>
          {report.data.map((s) => (
            <tr key={`${s.pattern} ${s.key_id ?? s.address} ${s.window_began_at}`} class={s.above_limit ? 'above' : ''}>
              <th scope="row">
                <code>{s.key_id ?? s.address}</code>
              </th>
              <td>{nameOf(s.pattern)}</td>
              <td class="number">{s.count.toLocaleString()}</td>
              <td class="number">{s.limit.toLocaleString()}</td>
              <td>{when(Date.parse(s.last_seen_at))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
