import { html, useMemo } from '../../html.js';
import { t } from '../../i18n/index.js';
import { Chart } from '../../components/chart.js';
import { Empty } from '../../components/states.js';
import { Panel } from '../../components/stat.js';

/** Charts by what their series have in common; a series that fits none of the first goes into the last. */
const CHARTS = [
  { name: 'loss', fits: (series) => series.endsWith('loss') },
  { name: 'learning_rate', fits: (series) => series.includes('learning_rate') },
  { name: 'norm', fits: (series) => series.startsWith('norm') || series.includes('gradient_norm') },
  { name: 'similarity', fits: (series) => series.includes('similarity') },
  { name: 'metrics', fits: () => true },
];

/** Loss, learning rate, norm and the rest over the epochs, of one run or of several. */
export function Curves({ runs }) {
  const charts = useMemo(() => CHARTS.map(({ name }) => chartOf(name, runs)).filter(({ series }) => series.length), [runs]);
  return html`<${Panel} title=${t('training.curves')}>
    ${charts.length === 0 && html`<${Empty} icon="training" title=${t('training.no_curves')} />`}
    <div class="chart-grid">${charts.map(({ name, x, series }) => html`<${Chart} key=${name} title=${t(`chart.${name}`)} x=${x} xLabel=${t('chart.epoch')} series=${series} />`)}</div>
  <//>`;
}

/** Every run's matching series over the union of their epochs; runs after the first are dashed. */
function chartOf(name, runs) {
  const picked = runs.flatMap(({ runId, document }, place) =>
    Object.entries(document.loss_curve.series)
      .filter(([series]) => CHARTS.find(({ fits }) => fits(series)).name === name)
      .map(([series, values]) => ({ label: runs.length > 1 ? `${runId} ${series}` : series, values, epochs: document.loss_curve.epochs, isDashed: place > 0 })),
  );
  const x = [...new Set(picked.flatMap(({ epochs }) => epochs))].sort((a, b) => a - b);
  return { name, x, series: picked.map((each) => ({ label: each.label, isDashed: each.isDashed, values: aligned(each, x) })) };
}

function aligned({ epochs, values }, x) {
  if (epochs.length === x.length) return values;
  const at = new Map(epochs.map((epoch, place) => [epoch, values[place]]));
  return x.map((epoch) => at.get(epoch) ?? null);
}
