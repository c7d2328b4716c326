// A user's TypeScript project with the packed SDK installed, into which the
// examples are put.

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';

const run = promisify(execFile);
const sdk = resolve(import.meta.dirname, '../../sdk/typescript');
const own = createRequire(join(sdk, 'package.json'));

/** The compiler of the SDK, for whoever looks at code. */
export const typescript = own('typescript');

/** makeProject packs the SDK from a copy of its sources, and compiles files beside it. */
export async function makeProject(folder, files) {
  const copy = join(folder, 'sdk');
  cpSync(sdk, copy, { recursive: true, filter: (path) => !['node_modules', 'dist', 'docs'].includes(basename(path)) });
  symlinkSync(join(sdk, 'node_modules'), join(copy, 'node_modules'));
  await run('npm', ['pack', '--pack-destination', folder], { cwd: copy });
  const project = join(folder, 'project');
  const installed = join(project, 'node_modules/@knn_labs/conduit-core-client');
  mkdirSync(installed, { recursive: true });
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'));
  await run('tar', ['xzf', join(folder, tarball), '-C', installed, '--strip-components=1']);
  for (const entry of readdirSync(join(sdk, 'node_modules'))) {
    if (!entry.startsWith('.')) symlinkSync(join(sdk, 'node_modules', entry), join(project, 'node_modules', entry));
  }
  const compilerOptions = {
    target: 'ES2022', lib: ['ES2022', 'DOM'], module: 'esnext', moduleResolution: 'bundler', strict: true, types: [], skipLibCheck: true, outDir: 'out',
  };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(project, name), text);
  await run(process.execPath, [own.resolve('typescript/bin/tsc'), '-p', project]).catch((error) => {
    throw new Error(`the examples do not compile:\n${error.stdout}`);
  });
  return {
    file: (name) => join(project, 'out', name),
    /** bundle makes a script for a page. */
    bundle: async (contents) => {
      const { outputFiles } = await build({
        stdin: { contents, loader: 'jsx', resolveDir: join(project, 'out') },
        bundle: true, format: 'iife', jsx: 'automatic', define: { 'process.env.NODE_ENV': '"production"' }, write: false, logLevel: 'error',
      });
      return outputFiles[0].text;
    },
  };
}

/**
 * misfits tells in what a value is not as an interface says. Dates are given
 * as true, because values come as JSON.
 */
export function misfits(code, value) {
  const [declared] = typescript.createSourceFile('block.ts', code, typescript.ScriptTarget.ES2022, true).statements;
  const walk = (members, object, path) =>
    members.flatMap((member) => {
      const name = `${path}${member.name.text}`;
      const found = object?.[member.name.text];
      if (found === undefined) return member.questionToken ? [] : [`${name} is missing`];
      if (member.type.members) return walk(member.type.members, found, `${name}.`);
      const type = member.type.getText();
      const fits = { string: typeof found === 'string', number: typeof found === 'number', boolean: typeof found === 'boolean', Date: found === true };
      return (fits[type] ?? `'${found}'` === type) ? [] : [`${name} is ${JSON.stringify(found)}, not ${type}`];
    });
  return walk(declared.members, value, '');
}
