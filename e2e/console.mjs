// The console's page as tests handle it.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** connected waits until the page says so. */
export const connected = (page) => page.getByRole('button', { name: 'Connection: Connected' }).waitFor();

/** signIn opens the console with a key. */
export async function signIn(page, conduit, key = conduit.key) {
  await page.goto(conduit.url);
  await page.getByLabel('Virtual key').fill(key);
  await page.keyboard.press('Enter');
  await connected(page);
}

/** cardOf is a task's card, by its id or its prompt; of several the newest. */
export const cardOf = (page, task) =>
  /^task_[0-9a-f]+$/.test(task) ? page.locator(`[data-task="${task}"]`) : page.locator('[data-task]').filter({ hasText: task }).first();

/** is waits until a card says so: Queued, Running, Done, Failed, Cancelled, Timed out. */
export const is = (card, status) => card.locator('.chip').getByText(status, { exact: true }).waitFor();

/** ask fills the form in, by the labels of its fields, and sends it. */
export async function ask(page, fields) {
  for (const [label, value] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(String(value));
  await page.getByRole('button', { name: /^Generate/ }).click();
  return cardOf(page, fields.Prompt);
}

/** timeline opens a task's timeline and gives its events as they stand there. */
export async function timeline(card) {
  const button = card.getByRole('button', { name: 'Timeline' });
  if ((await button.getAttribute('aria-expanded')) !== 'true') await button.click();
  return () =>
    card.locator('.event[data-sequence]').evaluateAll((rows) =>
      rows.map((row) => ({ sequence: Number(row.dataset.sequence), name: row.querySelector('.name').textContent })),
    );
}

/** stored reads every event of a task that has ended, as the server keeps them. */
export async function stored(conduit, id) {
  const stream = await conduit.request(`/v1/tasks/${id}/events`, { headers: { 'Last-Event-ID': '0' } });
  const events = [...(await stream.text()).matchAll(/^event: (\w+)\nid: (\d+)$/gm)];
  return events.map(([, name, sequence]) => ({ sequence: Number(sequence), name }));
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** widths and schemes in which everything is looked at. */
export const widths = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };

/**
 * flaws is what axe finds in the page, in light and dark, at desktop and phone
 * width. What does not depend on colours is looked for in light only.
 */
export async function flaws(page) {
  const found = [];
  if (!(await page.evaluate('typeof axe === "object"'))) await page.evaluate(axe);
  for (const [width, size] of Object.entries(widths)) {
    await page.setViewportSize(size);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      const rules = colorScheme === 'light' ? undefined : { type: 'rule', values: ['color-contrast'] };
      const violations = await page.evaluate(
        async (runOnly) => {
          const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'], ...(runOnly ? { runOnly } : {}) });
          return violations.flatMap(({ id, nodes }) => nodes.map((n) => `${id}: ${n.target.join(' ')}: ${n.failureSummary}`));
        },
        rules,
      );
      found.push(...violations.map((v) => `${width}, ${colorScheme}: ${v}`));
      const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (sideways > 0) found.push(`${width}: scrolls sideways by ${sideways} pixels`);
    }
  }
  await page.setViewportSize(widths.desktop);
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: null });
  return found;
}

