// What a person chose: theme, collection and token. The language is in i18n/.
import { signal, storedSignal } from './signal.js';

/** 'auto' follows the system. */
export const theme = storedSignal('atelier.theme', 'auto');

/** Bearer token of this tab; never written to disk. */
export const token = storedSignal('atelier.token', '', () => sessionStorage);

/** Collection that every view reads and writes. */
export const collection = storedSignal('atelier.collection', 'fashion');

const dark = matchMedia('(prefers-color-scheme: dark)');

/** 'light' or 'dark', as it shows. */
export const shownTheme = signal('light');

function show() {
  const chosen = theme.get();
  const shown = chosen === 'auto' ? (dark.matches ? 'dark' : 'light') : chosen;
  document.documentElement.dataset.theme = shown;
  shownTheme.set(shown);
}

theme.subscribe(show);
dark.addEventListener('change', show);
show();
