import { classes, html } from '../../html.js';
import { number, percent, t } from '../../i18n/index.js';
import { Icon } from '../../components/icons.js';
import { Picture } from '../../components/picture.js';
import { Panel, Pill } from '../../components/stat.js';

/** Placements from best to worst; the line between two says how sure their order is. */
export function Order({ answer, list, onRemove }) {
  const { placements } = answer;
  const scores = placements.map(({ score }) => score);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const sizes = groupSizes(placements);
  return html`<${Panel} title=${t('rank.order')}>
    <ol class="order">
      ${placements.map((placement) => html`<${Row}
        key=${placement.index} placement=${placement} candidate=${list[placement.index]}
        share=${high > low ? (placement.score - low) / (high - low) : 1} isTied=${sizes.get(placement.tie_group) > 1} onRemove=${onRemove}
      />`)}
    </ol>
    <p class="muted small">${(answer.models || []).map((model) => `${model.name} v${model.version}`).join(' · ')}</p>
  <//>`;
}

function groupSizes(placements) {
  const sizes = new Map();
  placements.forEach(({ tie_group }) => sizes.set(tie_group, (sizes.get(tie_group) || 0) + 1));
  return sizes;
}

function Row({ placement, candidate, share, isTied, onRemove }) {
  const { place, score, probability_over_next: probability, uncertainty, abstained_over_next: abstained } = placement;
  return html`<li data-id=${placement.id} data-place=${place} class=${classes(abstained && 'abstained')}>
    <span class=${classes('place', place === 1 && 'first')}>${place}</span>
    <${Picture} address=${candidate?.address} alt=${placement.id} />
    <div class="order-text">
      <span class="strong clip">${placement.id}</span>
      <span class="meter" aria-hidden="true"><span style=${{ width: `${4 + share * 96}%` }} /></span>
      <span class="row small muted">
        <span>${t('rank.score')} <span>${number(score, 2)}</span>${uncertainty !== undefined && ` ± ${number(uncertainty, 2)}`}</span>
        ${isTied && html`<${Pill} tone="warn">${t('rank.tied', { group: placement.tie_group })}<//>`}
      </span>
      ${probability !== undefined && html`<span class="small muted over-next">${abstained ? t('rank.abstained', { share: percent(probability) }) : t('rank.over_next', { share: percent(probability) })}</span>`}
    </div>
    ${candidate && html`<button type="button" class="icon-button" aria-label=${t('action.remove', { name: placement.id })} onClick=${() => onRemove(candidate)}><${Icon} name="close" /></button>`}
  </li>`;
}

/** Pictures that could not be judged, each with its reason. */
export function Refused({ errors, list, onRemove }) {
  if (!errors.length) return null;
  return html`<${Panel} title=${t('rank.refused', { count: errors.length })} className="refused">
    <ul class="rows">${errors.map((error) => html`<li key=${error.index} data-refused=${error.id}>
      <span><span class="strong">${error.id || `#${error.index + 1}`}</span><span class="block small">${reasonOf(error)}</span></span>
      ${list[error.index] && html`<button type="button" class="quiet" onClick=${() => onRemove(list[error.index])}>${t('action.remove_it')}</button>`}
    </li>`)}</ul>
  <//>`;
}

const reasonOf = ({ status = {}, message }) => status.detail || status.message || message || status.title || '';
