import { html } from '../../html.js';
import { t } from '../../i18n/index.js';
import { Skeleton } from '../../components/states.js';
import { Panel, Pill } from '../../components/stat.js';
import { connection } from '../../state/services.js';

const TONES = { serving: 'good', not_serving: 'warn', unreachable: 'bad' };

/** Which services answer, and where. */
export function ServicesPanel() {
  const { services, isKnown, gatewayDown } = connection.use();
  const rows = [{ name: 'gateway', address: location.host, state: gatewayDown ? 'unreachable' : 'serving' }, ...services];
  return html`<${Panel} title=${t('services.title')}>
    ${!isKnown ? html`<${Skeleton} />` : html`<ul class="rows">
      ${rows.map((each) => html`<li key=${each.name} data-service=${each.name} data-state=${each.state}>
        <span><span class="strong">${t(`service.${each.name}`)}</span> <code class="small">${each.address}</code>
          ${each.detail && html`<span class="muted small block">${each.detail}</span>`}</span>
        <${Pill} tone=${TONES[each.state] || 'calm'}>${t(`state.${each.state}`)}<//>
      </li>`)}
    </ul>`}
  <//>`;
}
