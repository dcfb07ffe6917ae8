// The address after `#`: a view and its parameters, as in `#/recommend?item=tee-1`. Back and forward work.
import { signal } from './signal.js';

function parse() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  return { view: path || 'overview', parameters: Object.fromEntries(new URLSearchParams(query ?? '')) };
}

export const route = signal(parse());
addEventListener('hashchange', () => route.set(parse()));

/** @param {string} view @param {Record<string, string|undefined>} [parameters] */
export function addressOf(view, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  const query = new URLSearchParams(given).toString();
  return `#/${view}${query ? `?${query}` : ''}`;
}

/** @param {string} view @param {Record<string, string|undefined>} [parameters] */
export function go(view, parameters = {}) {
  location.hash = addressOf(view, parameters);
}
