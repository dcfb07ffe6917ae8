// What stands in a card while there is nothing, not yet, or an error.
import { html } from '../html.js';
import { t } from '../i18n/index.js';
import { Icon } from './icons.js';

/** Grey shapes of the coming content. @param {{ kind?: 'cards'|'lines'|'chart', count?: number }} properties */
export function Skeleton({ kind = 'lines', count = 3 }) {
  const shapes = Array.from({ length: kind === 'chart' ? 1 : count }, (_, place) => html`<span key=${place} />`);
  return html`<div class="skeleton ${kind}" role="status" aria-label=${t('state.loading')}>${shapes}</div>`;
}

/** @param {{ icon?: string, title: string, hint?: string, children?: any }} properties */
export function Empty({ icon = 'picture', title, hint, children }) {
  return html`<div class="empty">
    <${Icon} name=${icon} />
    <p class="strong">${title}</p>
    ${hint && html`<p class="muted">${hint}</p>`}
    ${children}
  </div>`;
}

/** @param {{ error: import('../api.js').ApiError, reload?: () => void }} properties */
export function Failure({ error, reload }) {
  return html`<div class="failure" role="alert">
    <${Icon} name="alert" />
    <div>
      <p class="strong">${error.title || t('state.failed')}</p>
      <p>${error.message}</p>
      ${error.violations.map((each) => html`<p key=${each.field} class="muted">${each.field}: ${each.description}</p>`)}
      ${error.requestId && html`<p class="muted small">${t('state.request')} <code>${error.requestId}</code></p>`}
      ${error.isTransient && html`<p class="muted small">${t('state.retrying')}</p>`}
    </div>
    ${reload && html`<button type="button" class="quiet" onClick=${reload}>${t('action.retry')}</button>`}
  </div>`;
}

/**
 * The content of a resource once it is there; what was there stays visible under a later error.
 * @param {{ resource: any, skeleton?: any, children: (data: any) => any }} properties
 */
export function Loaded({ resource, skeleton, children }) {
  const { data, error, reload } = resource;
  if (data !== undefined) return html`${error && html`<${Failure} error=${error} reload=${reload} />`}${children(data)}`;
  if (error) return html`<${Failure} error=${error} reload=${reload} />`;
  return skeleton || html`<${Skeleton} />`;
}
