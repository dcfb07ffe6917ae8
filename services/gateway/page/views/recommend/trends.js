import { classes, html, useMemo, useState } from '../../html.js';
import { language, percent, t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { Chart } from '../../components/chart.js';
import { Empty, Loaded, Skeleton } from '../../components/states.js';
import { Bar, Panel } from '../../components/stat.js';
import { useResource } from '../../state/resource.js';
import { fieldLabel, vocabulary, wordLabel } from '../../state/vocabulary.js';

const WORDS = 6;
const CURVES = 5;

/** A choice among the fields that a list speaks of, in its order. */
function FieldTabs({ fields, field, onField }) {
  return html`<div class="segments scroll" role="group" aria-label=${t('trends.field')}>
    ${fields.map((name) => html`<button key=${name} type="button" aria-pressed=${name === field} class=${classes(name === field && 'on')} onClick=${() => onField(name)}>${fieldLabel(name)}</button>`)}
  </div>`;
}

const fieldsOf = (list) => [...new Set(list.map(({ field }) => field))];

/** What bestsellers have in common, beside what the recommended and all new products have. */
export function Trends({ trends }) {
  const fields = fieldsOf(trends);
  const [chosen, setChosen] = useState('');
  const field = fields.includes(chosen) ? chosen : fields[0];
  if (!fields.length) return null;
  const rows = trends.filter((each) => each.field === field).slice(0, WORDS);
  return html`<${Panel} title=${t('trends.title')}>
    <p class="muted small">${t('trends.lead')}</p>
    <${FieldTabs} fields=${fields} field=${field} onField=${setChosen} />
    <ul class="legend small"><li class="series-1">${t('trends.bestsellers')}</li><li class="series-2">${t('trends.results')}</li><li class="series-3">${t('trends.new')}</li></ul>
    <div class="trend-rows">${rows.map((row) => html`<div key=${row.value} class="trend-row">
      <p class="strong small">${wordLabel(field, row.value)}</p>
      <${Bar} label=${t('trends.bestsellers')} share=${row.bestseller_share} text=${percent(row.bestseller_share)} place=${1} />
      <${Bar} label=${t('trends.results')} share=${row.result_share} text=${percent(row.result_share)} place=${2} />
      <${Bar} label=${t('trends.new')} share=${row.new_share} text=${percent(row.new_share)} place=${3} />
    </div>`)}</div>
  <//>`;
}

/** How the words of a field do over time: among what customers took up or, before that, among what was released. */
export function TimeTrends({ collection }) {
  const resource = useResource((signal) => api.trends({ collection, days: 90, period_days: 7 }, signal), [collection]);
  return html`<${Panel} title=${t('trends.time_title')}>
    <${Loaded} resource=${resource} skeleton=${html`<${Skeleton} kind="chart" />`}>${(data) => html`<${TimeChart} data=${data} />`}<//>
  <//>`;
}

function TimeChart({ data }) {
  const fields = fieldsOf(data.series);
  const [chosen, setChosen] = useState('');
  const field = fields.includes(chosen) ? chosen : fields[0];
  const x = useMemo(() => data.period_starts.map((at) => Date.parse(at) / 1000), [data]);
  const words = vocabulary.use();
  const series = useMemo(() => {
    const own = data.series.filter((each) => each.field === field).slice(0, CURVES);
    const kind = own.some(({ taken_share }) => taken_share.some((share) => share > 0)) ? 'taken_share' : 'released_share';
    return own.map((each) => ({ label: wordLabel(field, each.value), values: each[kind] }));
  }, [data, field, words, language.use()]);
  if (!fields.length) return html`<${Empty} icon="training" title=${t('trends.no_time')} hint=${t('trends.no_time_hint')} />`;
  return html`<div>
    <${FieldTabs} fields=${fields} field=${field} onField=${setChosen} />
    <${Chart} title=${t('trends.time_chart', { field: fieldLabel(field) })} x=${x} xLabel=${t('chart.week')} series=${series} isTime />
  </div>`;
}
