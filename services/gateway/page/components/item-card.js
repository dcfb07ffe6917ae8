import { classes, html } from '../html.js';
import { number, t } from '../i18n/index.js';
import { pairs, titleOf, wordLabel } from '../state/vocabulary.js';
import { Icon } from './icons.js';
import { ItemPicture } from './picture.js';

/**
 * An item, picture first. Its picture is the main action; what stands below is for judging.
 * @param {{
 *   item: any, similarity?: number, explanation?: any, partNames?: string[], verdict?: 'liked'|'disliked'|'',
 *   action: string, onChoose: () => void, onVerdict?: (verdict: 'liked'|'disliked') => void,
 * }} properties  partNames: what the shares of the explanation belong to
 */
export function ItemCard({ item, similarity, explanation, partNames, verdict, action, onChoose, onVerdict }) {
  const title = titleOf(item);
  return html`<li class=${classes('item-card', verdict)} data-item=${item.item_id}>
    <button type="button" class="item-picture" onClick=${onChoose} aria-label=${`${action}: ${title} (${item.item_id})`}>
      <${ItemPicture} item=${item} />
      ${similarity !== undefined && html`<span class="score" title=${t('card.similarity')}>${number(similarity, 2)}</span>`}
      ${item.in_stock === false && html`<span class="ribbon">${t('card.sold_out')}</span>`}
      <span class="hover-action"><${Icon} name="similar" />${action}</span>
    </button>
    <div class="item-line">
      <div class="item-name">
        <span class="strong clip">${title}</span>
        <span class="muted small clip">${item.item_id}</span>
      </div>
      ${onVerdict && html`<div class="verdicts">
        <${VerdictButton} name="liked" icon="heart" label=${t('card.like')} verdict=${verdict} onVerdict=${onVerdict} />
        <${VerdictButton} name="disliked" icon="dislike" label=${t('card.dislike')} verdict=${verdict} onVerdict=${onVerdict} />
      </div>`}
    </div>
    ${explanation && html`<${Why} explanation=${explanation} partNames=${partNames || []} />`}
  </li>`;
}

function VerdictButton({ name, icon, label, verdict, onVerdict }) {
  const isOn = verdict === name;
  return html`<button type="button" class=${classes('icon-button', name, isOn && 'on')} aria-pressed=${isOn} aria-label=${label} title=${label} onClick=${() => onVerdict(name)}>
    <${Icon} name=${icon} />
  </button>`;
}

/** Why it was found: the words it shares, and what each part of the query adds. */
function Why({ explanation, partNames }) {
  const shared = pairs(explanation.shared_attributes);
  const parts = (explanation.shares || []).map((share, place) => ({ share, name: partNames[place] })).filter((part) => part.name);
  return html`<div class="why">
    ${shared.length > 0 && html`<ul class="chips" aria-label=${t('card.shares')}>
      ${shared.slice(0, 4).map(({ field, word }) => html`<li key=${`${field}${word}`} class="chip match">${wordLabel(field, word)}</li>`)}
      ${shared.length > 4 && html`<li class="chip">+${shared.length - 4}</li>`}
    </ul>`}
    ${parts.length > 1 && html`<details class="parts">
      <summary class="small">${t('card.why')}</summary>
      <ul>${parts.map((part) => html`<li key=${part.name} class="small"><span class="clip">${part.name}</span><span>${part.share >= 0 ? '+' : '−'}${number(Math.abs(part.share), 2)}</span></li>`)}</ul>
    </details>`}
  </div>`;
}

/** @param {{ children: any, label: string }} properties */
export const CardGrid = ({ children, label }) => html`<ul class="card-grid" aria-label=${label}>${children}</ul>`;
