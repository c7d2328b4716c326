// Builds both forms of the package: dist/esm and dist/cjs, each with its types
// and with a package.json that says how Node reads the files beside it.

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const here = import.meta.dirname;
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');

rmSync(join(here, 'dist'), { recursive: true, force: true });
for (const [folder, module, type] of [
  ['esm', 'ESNext', 'module'],
  ['cjs', 'CommonJS', 'commonjs'],
]) {
  const out = join(here, 'dist', folder);
  mkdirSync(out, { recursive: true });
  execFileSync(process.execPath, [tsc, '-p', here, '--module', module, '--outDir', out], { stdio: 'inherit' });
  writeFileSync(join(out, 'package.json'), JSON.stringify({ type, sideEffects: false }) + '\n');
}
