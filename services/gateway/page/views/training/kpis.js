import { html, useMemo } from '../../html.js';
import { compact, language, number, percent, t } from '../../i18n/index.js';
import { Chart } from '../../components/chart.js';
import { Bar, Panel, Stat, Stats } from '../../components/stat.js';

/** Key figures: cards for one run, a table for several; the groups of one follow its curves. */
export function RunKpis({ runs }) {
  return runs.length === 1 ? html`<${Cards} document=${runs[0].document} />` : html`<${Comparison} runs=${runs} />`;
}

function Cards({ document }) {
  const { kpi, run } = document;
  const { similarity, norm, counts } = kpi;
  return html`<${Stats} label=${t('training.kpis')}>
    <${Stat} label=${t('training.progress')} value=${percent(kpi.progress)} hint=${[t('training.epoch', { epoch: number(kpi.epoch), last: number(kpi.max_epochs) }), run.stage].filter(Boolean).join(' · ')} />
    <${Stat} label=${t('training.items')} value=${number(counts.items)} hint=${Object.entries(counts.parts || {}).map(([name, count]) => `${name} ${number(count)}`).join(' · ')} />
    ${Object.entries(kpi.metrics || {}).slice(0, 6).map(([name, value]) => html`<${Stat} key=${name} label=${metricName(name)} value=${compact(value)} />`)}
    ${similarity && html`<${Stat} label=${t('training.similarity')} value=${compact(similarity.positive)} hint=${t('training.negative', { value: compact(similarity.negative) })} />`}
    ${norm && html`<${Stat} label=${t('training.norm')} value=${compact(norm.mean)} hint=${`${t(`training.norm_${norm.state}`)} · ± ${compact(norm.std)}`} tone=${norm.state === 'unit' ? 'good' : ''} />`}
  <//>`;
}

/** Items and figures by group, and how far stated probabilities come true. */
export function Groups({ document }) {
  const { counts, breakdowns, calibration } = document.kpi;
  return html`<div class="columns">
    <${Categories} counts=${counts.categories || {}} />
    ${Object.entries(breakdowns || {}).map(([name, groups]) => html`<${Breakdown} key=${name} name=${name} groups=${groups} />`)}
    ${calibration?.stated.length > 0 && html`<${Reliability} calibration=${calibration} />`}
  </div>`;
}

function Reliability({ calibration }) {
  const { stated, actual, error, temperature } = calibration;
  const series = useMemo(
    () => [{ label: t('training.actual'), values: actual }, { label: t('training.perfect'), values: stated, isDashed: true }],
    [calibration, language.use()],
  );
  return html`<${Panel} title=${t('training.calibration')}>
    <p class="muted small">${t('training.calibration_error', { error: compact(error), temperature: compact(temperature) })}</p>
    <${Chart} title=${t('training.calibration_chart')} x=${stated} xLabel=${t('training.stated')} series=${series} height=${180} />
  <//>`;
}

function Categories({ counts }) {
  const rows = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  if (!rows.length) return null;
  const most = rows[0][1];
  return html`<${Panel} title=${t('training.categories')}>${rows.map(([name, count]) => html`<${Bar} key=${name} label=${name} share=${count / most} text=${number(count)} />`)}<//>`;
}

function Breakdown({ name, groups }) {
  const rows = Object.entries(groups);
  return html`<${Panel} title=${metricName(name)}>${rows.map(([group, value]) => html`<${Bar} key=${group} label=${group} share=${value} text=${value === null ? '–' : percent(value, 1)} place=${2} />`)}<//>`;
}

function Comparison({ runs }) {
  const names = [...new Set(runs.flatMap(({ document }) => Object.keys(document.kpi.metrics || {})))];
  return html`<${Panel} title=${t('training.compared')}>
    <div class="scroll" tabindex="0" role="region" aria-label=${t('training.compared')}><table>
      <thead><tr><th>${t('training.figure')}</th>${runs.map(({ runId }) => html`<th key=${runId} class="end">${runId}</th>`)}</tr></thead>
      <tbody>
        <tr><td>${t('training.progress')}</td>${runs.map(({ runId, document }) => html`<td key=${runId} class="end">${percent(document.kpi.progress)}</td>`)}</tr>
        ${names.map((name) => html`<${Row} key=${name} name=${name} runs=${runs} />`)}
      </tbody>
    </table></div>
  <//>`;
}

function Row({ name, runs }) {
  const values = runs.map(({ document }) => document.kpi.metrics?.[name]);
  return html`<tr><td>${metricName(name)}</td>${values.map((value, place) => html`<td key=${runs[place].runId} class="end">${compact(value ?? undefined)}</td>`)}</tr>`;
}

/** @param {string} name as in `pair_accuracy_by_gap` */
export const metricName = (name) =>
  name.replaceAll('_', ' ').replace(/^./, (letter) => letter.toUpperCase()).replace(/\b(mrr|ndcg)\b/gi, (word) => word.toUpperCase());
