import { html } from '../html.js';
import { t } from '../i18n/index.js';
import { connection, missing } from '../state/services.js';
import { Icon } from './icons.js';

/** Says which services do not answer, and what that costs; goes away by itself. */
export function ServiceBanner() {
  const state = connection.use();
  const names = missing(state);
  if (!state.isKnown || !names.length) return null;
  return html`<div class="banner" role="alert" data-missing=${names.join(' ')}>
    <${Icon} name="alert" />
    <div>
      <p class="strong">${t('banner.title', { names: names.map((name) => t(`service.${name}`)).join(', ') })}</p>
      <p>${names.map((name) => t(`banner.${name}`)).join(' ')} ${t('banner.recovers')}</p>
    </div>
  </div>`;
}
