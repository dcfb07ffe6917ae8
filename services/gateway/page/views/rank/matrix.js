import { html } from '../../html.js';
import { percent, t } from '../../i18n/index.js';
import { Picture } from '../../components/picture.js';
import { Panel } from '../../components/stat.js';

const MOST = 16;

/** P(row better than column), for the first pictures of the order. */
export function Matrix({ answer, pictures }) {
  const { placements } = answer;
  const rows = rowsOf(answer);
  if (placements.length < 2 || !rows.length) return null;
  const shown = placements.slice(0, MOST);
  const head = (placement) => html`<span class="matrix-head"><${Picture} address=${pictures[placement.index]} alt="" /><span class="clip small">${placement.id}</span></span>`;
  return html`<${Panel} title=${t('rank.matrix')}>
    <p class="muted small">${t('rank.matrix_lead')}${placements.length > MOST && ` ${t('rank.matrix_first', { count: MOST })}`}</p>
    <div class="scroll" tabindex="0" role="region" aria-label=${t('rank.matrix')}><table class="matrix">
      <thead><tr><td></td>${shown.map((column) => html`<th key=${column.index} scope="col">${head(column)}</th>`)}</tr></thead>
      <tbody>${shown.map((row, place) => html`<tr key=${row.index}>
        <th scope="row">${head(row)}</th>
        ${shown.map((column, other) => html`<${Cell} key=${column.index} share=${rows[place][other]} isSelf=${place === other} />`)}
      </tr>`)}</tbody>
    </table></div>
  <//>`;
}

function Cell({ share, isSelf }) {
  if (isSelf) return html`<td class="self">–</td>`;
  const strength = `${Math.round(Math.abs(share - 0.5) * 90)}%`;
  return html`<td class=${share >= 0.5 ? 'above' : 'below'} style=${{ '--strength': strength }}>${percent(share)}</td>`;
}

/** The matrix as rows, however it was sent. */
function rowsOf({ pairwise_probabilities: sent = [], placements }) {
  if (!sent.length || Array.isArray(sent[0])) return sent;
  const width = placements.length;
  return placements.map((_, place) => sent.slice(place * width, (place + 1) * width));
}
