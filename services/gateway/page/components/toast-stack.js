import { classes, html } from '../html.js';
import { t } from '../i18n/index.js';
import { close, toasts } from '../state/toasts.js';
import { Icon } from './icons.js';

/** Messages at the edge of the page, read out as they come. */
export function ToastStack() {
  return html`<div class="toasts" aria-live="polite" role="region" aria-label=${t('toast.region')}>
    ${toasts.use().map((toast) => html`<${ToastCard} key=${toast.key} toast=${toast} />`)}
  </div>`;
}

function ToastCard({ toast }) {
  return html`<div class=${classes('toast', toast.kind)} role=${toast.kind === 'error' ? 'alert' : 'status'}>
    <${Icon} name=${toast.kind === 'error' ? 'alert' : 'check'} />
    <div>
      <p class="strong">${toast.title}</p>
      ${toast.detail && html`<p>${toast.detail}</p>`}
      ${toast.requestId && html`<p class="small">${t('state.request')} <code>${toast.requestId}</code></p>`}
    </div>
    <button type="button" class="icon-button" aria-label=${t('action.close')} onClick=${() => close(toast.key)}>
      <${Icon} name="close" />
    </button>
  </div>`;
}
