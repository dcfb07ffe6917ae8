// Short messages at the edge of the page. Errors stay until they are closed.
import { signal } from './signal.js';

/** @typedef {{ key: number, kind: 'error'|'done', title: string, detail: string, requestId: string }} Toast */

export const toasts = signal(/** @type {Toast[]} */ ([]));
const SHOWN_MS = 4000;
let nextKey = 1;

/** @param {import('../api.js').ApiError} error */
export function showError(error) {
  if (error.name === 'AbortError') return;
  add({ kind: 'error', title: error.title || error.name, detail: error.message, requestId: error.requestId || '' });
}

/** @param {string} title */
export function showDone(title) {
  const key = add({ kind: 'done', title, detail: '', requestId: '' });
  setTimeout(() => close(key), SHOWN_MS);
}

/** @param {number} key */
export function close(key) {
  toasts.set((list) => list.filter((toast) => toast.key !== key));
}

function add(toast) {
  const key = nextKey++;
  const isSame = (other) => other.title === toast.title && other.detail === toast.detail;
  toasts.set((list) => [...list.filter((other) => !isSame(other)).slice(-3), { key, ...toast }]);
  return key;
}
