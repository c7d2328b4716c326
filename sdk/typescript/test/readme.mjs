// The code of the README, as it stands.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** blocks are the README's blocks of code, with the heading above each. */
export function blocks() {
  const text = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
  return text.split(/^## /m).slice(1).flatMap((section) => {
    const heading = section.slice(0, section.indexOf('\n'));
    return [...section.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, language, code]) => ({ heading, language, code }));
  });
}
