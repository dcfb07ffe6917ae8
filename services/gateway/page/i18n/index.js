// `t(key)` in the person's language; `{name}` in a text is replaced. Both tables have the same keys (tested).
import { storedSignal } from '../state/signal.js';
import en from './en.js';
import ko from './ko.js';

const TABLES = { en, ko };
const preferred = navigator.languages?.find((each) => TABLES[each.slice(0, 2)])?.slice(0, 2) || 'en';

export const language = storedSignal('atelier.language', preferred);

const mark = () => {
  document.documentElement.lang = language.get();
};
language.subscribe(mark);
mark();

/** @param {string} key @param {Record<string, unknown>} [values] */
export function t(key, values = {}) {
  const text = TABLES[language.get()]?.[key] ?? en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

const locale = () => (language.get() === 'ko' ? 'ko-KR' : 'en-GB');

/** Whether there is a text. @param {string} key */
export const has = (key) => key in en;

/** @param {number|null|undefined} value @param {number} [digits] */
export function number(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(Number(value))) return '–';
  return Number(value).toLocaleString(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A number of any size in a few figures, as in 0.0123 or 1.2e-5. @param {unknown} value */
export function compact(value) {
  if (typeof value !== 'number') return String(value ?? '–');
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return value.toLocaleString(locale(), { maximumSignificantDigits: 4 });
}

/** @param {number} share in [0, 1] */
export const percent = (share, digits = 0) =>
  share === null || share === undefined ? '–' : `${number(share * 100, digits)}%`;

/** @param {number} ms */
export const milliseconds = (ms) => (ms ? `${number(ms, ms < 10 ? 1 : 0)} ms` : '–');

/** @param {string|number} time of RFC 3339, or milliseconds since 1970 */
export function date(time) {
  return time ? new Date(time).toLocaleDateString(locale(), { year: 'numeric', month: 'short', day: 'numeric' }) : '–';
}

/** @param {string|number} time as in `date` */
export const clock = (time) => new Date(time).toLocaleTimeString(locale(), { hour12: false });

/** @param {string|number} time as in `date` */
export function moment(time) {
  return time ? new Date(time).toLocaleString(locale(), { dateStyle: 'medium', timeStyle: 'short' }) : '–';
}
