import { html, useState } from '../html.js';
import { t } from '../i18n/index.js';
import { token } from '../state/settings.js';
import { signal } from '../state/signal.js';
import { showError } from '../state/toasts.js';
import { Dialog } from './dialog.js';

/** What waits for a token: the reason, and what to do with it; null while the dialog is closed. */
const request = signal(/** @type {{ reason: string, resolve: (given: boolean) => void } | null} */ (null));

/** Asks for a token; whether one was given. An earlier question ends without one. @param {string} [reason] @returns {Promise<boolean>} */
export function askForToken(reason = '') {
  return new Promise((resolve) => {
    request.get()?.resolve(false);
    request.set({ reason, resolve });
  });
}

/**
 * Runs an action; where it lacks the scope, asks for a token and runs it again. Errors become toasts.
 * @template T @param {() => Promise<T>} action @returns {Promise<T | undefined>} undefined: it failed or was given up
 */
export async function withToken(action) {
  try {
    return await action();
  } catch (error) {
    if (error.needsToken && (await askForToken(error.message))) return withToken(action);
    showError(error);
    return undefined;
  }
}

export function TokenDialog() {
  const open = request.use();
  const [value, setValue] = useState('');
  if (!open) return null;
  const finish = (given) => {
    request.set(null);
    setValue('');
    open.resolve(given);
  };
  const submit = (event) => {
    event.preventDefault();
    token.set(value.trim());
    finish(true);
  };
  return html`<${Dialog} title=${t('token.title')} onClose=${() => finish(false)}>
    <form onSubmit=${submit}>
      <p class="muted">${open.reason || t('token.reason')}</p>
      <label>${t('token.label')}
        <input type="password" autocomplete="off" value=${value} onInput=${(event) => setValue(event.target.value)} autofocus />
      </label>
      <p class="muted small">${t('token.kept')}</p>
      <footer class="row end">
        ${token.get() && html`<button type="button" class="quiet" onClick=${() => { token.set(''); finish(false); }}>${t('token.forget')}</button>`}
        <button type="submit" disabled=${!value.trim()}>${t('token.use')}</button>
      </footer>
    </form>
  <//>`;
}
