import { html, useEffect, useMemo, useState } from '../../html.js';
import { milliseconds, number, t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { Chart } from '../../components/chart.js';
import { Empty, Loaded, Skeleton } from '../../components/states.js';
import { Panel } from '../../components/stat.js';
import { useResource } from '../../state/resource.js';

const EVERY_MS = 2000;
const KEPT = 300;
const SHOWN_S = 60;

/** Latency as it is now: a curve that grows, and the routes behind it. */
export function LatencyPanel() {
  const resource = useResource((signal) => api.latency(signal), [], { every: EVERY_MS });
  const points = useSamples(resource.data);
  return html`<${Panel} title=${t('latency.title')}>
    <${Loaded} resource=${resource} skeleton=${html`<${Skeleton} kind="chart" />`}>${(data) =>
      data.routes?.length
        ? html`<div><${Curves} points=${points} /><${Routes} routes=${data.routes} /></div>`
        : html`<${Empty} icon="training" title=${t('latency.empty')} hint=${t('latency.empty_hint')} />`}<//>
  <//>`;
}

/** The gateway's own series, or one sample an answer. */
function useSamples(data) {
  const [samples, setSamples] = useState([]);
  useEffect(() => {
    if (!data || data.series?.length) return;
    const busiest = [...(data.routes || [])].sort((a, b) => b.count - a.count)[0];
    if (busiest) setSamples((list) => [...list.slice(1 - KEPT), { at: Date.now() / 1000, ...busiest }]);
  }, [data]);
  return data?.series?.length ? data.series.map((each) => ({ ...each, at: seconds(each.at) })) : samples;
}

const seconds = (at) => (typeof at === 'number' ? at : Date.parse(at) / 1000);

function Curves({ points }) {
  const columns = useMemo(() => {
    const series = ['p50_ms', 'p95_ms', 'p99_ms'].map((name) => ({
      label: name.slice(0, 3),
      values: points.map((point) => point[name] ?? null),
    }));
    return { x: points.map((point) => point.at), series };
  }, [points]);
  return html`<${Chart} title=${t('latency.chart')} x=${columns.x} xLabel=${t('chart.time')} series=${columns.series} isTime leastSpan=${SHOWN_S} height=${180} />`;
}

function Routes({ routes }) {
  const busiest = [...routes].sort((a, b) => b.count - a.count).slice(0, 6);
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('latency.routes')}><table>
    <thead><tr><th>${t('latency.route')}</th><th class="end">${t('latency.calls')}</th><th class="end">p50</th><th class="end">p95</th></tr></thead>
    <tbody>${busiest.map((each) => html`<tr key=${each.route}>
      <td><code>${each.route}</code></td><td class="end">${number(each.count)}</td>
      <td class="end">${milliseconds(each.p50_ms)}</td><td class="end">${milliseconds(each.p95_ms)}</td>
    </tr>`)}</tbody>
  </table></div>`;
}
