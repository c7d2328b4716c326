// A server that passes for https://api.conduit.ai, to which Node, Chromium and
// curl are led outside the examples: by the resolver, and by an authority that
// they trust for the test. It knows the keys that the examples have.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Conduit, freePort } from '../conduit.mjs';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');

export async function startHost() {
  const folder = mkdtempSync(join(tmpdir(), 'conduit-guide-'));
  const made = await run('go', ['run', './e2e/guidehost', folder, 'your-virtual-key', 'your-key'], { cwd: root });
  const port = await freePort();
  const conduit = await Conduit.start(
    (url) => ({ Urls: `https://127.0.0.1:${port};${url}`, Https__Certificate: join(folder, 'cert.pem'), Https__Key: join(folder, 'key.pem') }),
    { folder, key: 'your-virtual-key' },
  );
  const authority = join(folder, 'ca.pem');
  writeFileSync(join(folder, '.curlrc'), `connect-to = "api.conduit.ai:443:127.0.0.1:${port}"\ncacert = "${authority}"\nsilent\nshow-error\nmax-time = 60\n`);
  const { CONDUIT_BASE_URL, CONDUIT_API_KEY, ...environment } = process.env; // nothing of the user's own
  return {
    conduit,
    folder,
    /** For Chromium. */
    args: [`--host-resolver-rules=MAP api.conduit.ai:443 127.0.0.1:${port}`, `--ignore-certificate-errors-spki-list=${made.stdout.trim()}`],
    /** node runs a program and gives what it wrote. */
    node: (file) =>
      run(process.execPath, ['--import', join(import.meta.dirname, 'lead.mjs'), file], {
        env: { ...environment, NODE_EXTRA_CA_CERTS: authority, GUIDE_PORT: String(port) }, timeout: 170_000,
      }),
    /** shell runs lines for a shell, with a curl that knows the way. */
    shell: (lines) => run('bash', ['-euc', lines], { env: { ...environment, CURL_HOME: folder } }),
    async stop() {
      await conduit.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
