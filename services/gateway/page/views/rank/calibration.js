import { html, useMemo } from '../../html.js';
import { compact, language, number, percent, t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { Chart } from '../../components/chart.js';
import { Panel } from '../../components/stat.js';
import { useResource } from '../../state/resource.js';

const STEPS = 61;

/** How a difference of scores becomes a probability, and what the head's card says of it. */
export function Calibration({ answer }) {
  const { temperature, tie_margin: margin, uncertainty_weight: weight, models } = answer;
  const head = models?.[0];
  const curve = useMemo(() => curveOf(temperature), [temperature]);
  const series = useMemo(() => [{ label: t('rank.probability'), values: curve.y }], [curve, language.use()]);
  if (!temperature) return null;
  return html`<${Panel} title=${t('rank.calibration')}>
    <p class="muted small">${t('rank.calibration_lead')}</p>
    <dl class="facts">
      <div><dt>${t('rank.temperature')}</dt><dd>${number(temperature, 3)}</dd></div>
      <div><dt>${t('rank.tie_margin')}</dt><dd>${number(margin, 3)}</dd></div>
      <div><dt>${t('rank.uncertainty_weight')}</dt><dd>${compact(weight ?? 0)}</dd></div>
    </dl>
    <${Chart} title=${t('rank.curve')} x=${curve.x} xLabel=${t('chart.difference')} series=${series} height=${180} />
    ${head && html`<${CardFigures} head=${head} />`}
  <//>`;
}

function curveOf(temperature) {
  const reach = 6 * (temperature || 1);
  const x = Array.from({ length: STEPS }, (_, place) => -reach + (2 * reach * place) / (STEPS - 1));
  return { x, y: x.map((difference) => 1 / (1 + Math.exp(-difference / temperature))) };
}

/** What was measured of the head when it was made, by pairs of tiers. */
function CardFigures({ head }) {
  const { data } = useResource((signal) => api.models(signal), []);
  const version = data?.models.find((model) => model.name === head.name)?.versions.find((each) => each.version === head.version);
  const figures = (version?.card?.figures || []).filter(({ value }) => typeof value === 'number');
  if (!figures.length) return null;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('rank.card')}><table>
    <thead><tr><th>${t('rank.card')}</th><th class="end">${t('rank.card_value')}</th><th class="end">${t('rank.card_range')}</th></tr></thead>
    <tbody>${figures.map((figure) => html`<tr key=${figure.name}>
      <td>${figure.name}</td><td class="end">${percent(figure.value, 1)}</td>
      <td class="end muted">${figure.low === undefined ? '–' : `${percent(figure.low, 1)} – ${percent(figure.high, 1)}`}</td>
    </tr>`)}</tbody>
  </table></div>`;
}
