// Times in words.

const pad = (n: number, digits = 2) => String(n).padStart(digits, '0');

/** clock is a time of day to the second. */
export function clock(at: number | Date): string {
  const d = new Date(at);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

/** precise is a time of day to the millisecond. */
export const precise = (at: Date) => `${clock(at)}.${pad(at.getMilliseconds(), 3)}`;

/** when is a moment as a list shows it. */
export function when(at: number): string {
  const date = new Date(at);
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString(undefined, today ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' });
}
