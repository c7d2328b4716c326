// The guide as it stands in docs/guide/: its blocks of code, and what of it
// was added to the text that users have.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const text = readFileSync(join(import.meta.dirname, '../../docs/guide/README.md'), 'utf8');

/** original is the guide without the frames (block quotes) that were added to it. */
export const original = text.replace(/(?:^>.*\n)+\n/gm, '');

/** blocks are all blocks of code, in their order; added ones stand in a frame. */
export const blocks = [];
for (let heading, open, lines = text.split('\n'), i = 0; i < lines.length; i++) {
  const line = lines[i].replace(/^> ?/, '');
  const fence = line.match(/^```(\w*)$/);
  if (open && fence) {
    blocks.push({ ...open, code: open.code.join('\n') + '\n' });
    open = undefined;
  } else if (open) open.code.push(line);
  else if (fence) open = { heading, language: fence[1], added: lines[i].startsWith('>'), code: [] };
  else heading = line.match(/^#+ (.*)$/)?.[1] ?? heading;
}

/** code is the block below a heading, which counts as run from now on. */
export function code(heading, language, { added = false } = {}) {
  const found = blocks.filter((b) => b.heading === heading && b.language === language && b.added === added);
  assert.equal(found.length, 1, `blocks of ${language} below "${heading}"`);
  found[0].run = true;
  return found[0].code;
}

/** left are the blocks that no test has asked for. */
export const left = () => blocks.filter((b) => !b.run).map((b) => `${b.heading}: ${b.language}`);
