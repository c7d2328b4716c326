// How the console's list becomes newer, whatever comes first.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';

const { outputFiles } = await build({
  entryPoints: [join(import.meta.dirname, '../web/src/items.ts')], bundle: true, format: 'esm', write: false, logLevel: 'silent',
});
const items = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);

const at = new Date('2026-11-22T10:00:00Z');
const summary = (sequence, status, more) => ({ taskId: 'task_a', kind: 'video', model: 'm', status, progress: 10, prompt: 'boat', sequence, createdAt: at, updatedAt: at, ...more });
const task = (sequence, status, more) => ({
  task_id: 'task_a', kind: 'video', model: 'm', status, progress: 10, message: null, current_frame: null, total_frames: null, queue_position: null,
  error: null, sequence, created_at: at.toISOString(), retry_of: null, prompt: 'boat and all', size: '64x64', duration: 1, fps: 5, seed: 1, n: 1, result: null, ...more,
});
const event = (name, sequence, more) => ({ eventType: `VideoGeneration${name}`, taskId: 'task_a', sequence, attempt: 1, timestamp: at, ...more });
const completed = (sequence) => event('Completed', sequence, { videoUrl: 'https://other.example/v1/media/x?s=1', duration: 1, metadata: { width: 64, height: 36, fps: 5, format: 'webm' } });
const result = { data: [{ url: 'http://h/v1/media/y?s=2', metadata: { width: 64, height: 36 } }] };
const of = (all) => all.get('task_a');
const none = new Map();

test('a summary that is not newer changes nothing', () => {
  const one = items.withTasks(none, [task(5, 'running')]);
  assert.equal(items.withSummaries(one, [summary(5, 'pending'), summary(4, 'pending')]), one);
  assert.equal(of(items.withSummaries(one, [summary(6, 'cancelled')])).status, 'cancelled');
});

test('an event that is not newer changes nothing, and none is of an unknown task', () => {
  const one = items.withTasks(none, [task(5, 'running')]);
  assert.equal(items.withEvent(one, event('Started', 5)), one);
  assert.equal(items.withEvent(none, completed(9)), none);
});

test('the end with its result, then its summary, then the task', () => {
  let all = items.withTasks(none, [task(5, 'running')]);
  all = items.withEvent(all, completed(6));
  assert.deepEqual([of(all).status, of(all).progress, of(all).media.all[0].url], ['completed', 100, 'v1/media/x?s=1']);
  assert.ok(items.lacks(of(all)), 'the task is still to be read');
  all = items.withSummaries(all, [summary(6, 'completed')]);
  all = items.withTasks(all, [task(6, 'completed', { result })]);
  assert.equal(of(all).media.all[0].url, 'v1/media/x?s=1', 'the link that plays stays');
  assert.ok(!items.lacks(of(all)));
});

test('the summary of the end first: the event still brings the result', () => {
  let all = items.withSummaries(items.withTasks(none, [task(5, 'running')]), [summary(6, 'completed')]);
  assert.equal(of(all).media, undefined);
  all = items.withEvent(all, completed(6));
  assert.equal(of(all).media.all.length, 1);
});

test('what was read before an event came adds what it knows, and takes nothing back', () => {
  let all = items.withSummaries(none, [summary(3, 'running')]);
  assert.ok(items.lacks(of(all)));
  all = items.withEvent(all, event('Failed', 7, { error: 'late', isRetryable: true, errorCode: 'timed_out' }));
  all = items.withTasks(all, [task(5, 'running')]);
  assert.deepEqual([of(all).status, of(all).sequence, of(all).prompt, of(all).task.sequence], ['timed_out', 7, 'boat and all', 5]);
  assert.ok(items.lacks(of(all)));
});

test('newest first', () => {
  const later = { ...summary(1, 'pending'), taskId: 'task_b', createdAt: new Date(at.getTime() + 1) };
  assert.deepEqual(items.newestFirst(items.withSummaries(none, [summary(1, 'pending'), later])).map((i) => i.id), ['task_b', 'task_a']);
});
