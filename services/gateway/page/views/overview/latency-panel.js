import { html, useEffect, useMemo, useRef, useState } from '../../html.js';
import { milliseconds, number, t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { Chart } from '../../components/chart.js';
import { Empty, Loaded, Skeleton } from '../../components/states.js';
import { Panel } from '../../components/stat.js';
import { useResource } from '../../state/resource.js';

const EVERY_MS = 2000;
const KEPT = 300;
const SHOWN_S = 60;
const SHOWN_ROUTES = 8;

// What the page itself asks all the time, and what takes a model.
const OWN = /^GET \/api\/(services|latency|models|index|kpis)/;
const ANSWERS = /^POST \/api\/(recommend|rank|search|compare|embed)/;

/** Routes that people and shops call, the busiest first. */
const callsOf = (data) =>
  (data.routes || []).filter(({ route }) => route.includes(' /api/') && !OWN.test(route)).sort((a, b) => b.count - a.count);

/** Latency as it is now: the curve of the busiest route, which grows, and all routes. */
export function LatencyPanel() {
  const resource = useResource((signal) => api.latency(signal), [], { every: EVERY_MS });
  const [busiest, points] = useSamples(resource.data);
  return html`<${Panel} title=${t('latency.title')}>
    <${Loaded} resource=${resource} skeleton=${html`<${Skeleton} kind="chart" />`}>${(data) =>
      busiest
        ? html`<div><${Curves} route=${busiest} points=${points} /><${Routes} routes=${callsOf(data)} /></div>`
        : html`<${Empty} icon="training" title=${t('latency.empty')} hint=${t('latency.empty_hint')} />`}<//>
  <//>`;
}

/** A sample an answer, of the busiest route that takes a model, as it was at first. */
function useSamples(data) {
  const [samples, setSamples] = useState([]);
  const route = useRef('');
  useEffect(() => {
    if (!data) return;
    route.current ||= (callsOf(data).find((each) => ANSWERS.test(each.route)) || callsOf(data)[0])?.route || '';
    const figures = data.routes.find((each) => each.route === route.current);
    if (figures) setSamples((list) => [...list.slice(1 - KEPT), { at: Date.now() / 1000, ...figures }]);
  }, [data]);
  return [route.current, samples];
}

function Curves({ route, points }) {
  const columns = useMemo(() => {
    const series = ['p50_ms', 'p95_ms', 'p99_ms'].map((name) => ({ label: name.slice(0, 3), values: points.map((point) => point[name]) }));
    return { x: points.map((point) => point.at), series };
  }, [points]);
  return html`<${Chart} title=${t('latency.chart', { route })} x=${columns.x} xLabel=${t('chart.time')} series=${columns.series} isTime leastSpan=${SHOWN_S} height=${180} />`;
}

function Routes({ routes }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('latency.routes')}><table>
    <thead><tr><th>${t('latency.route')}</th><th class="end">${t('latency.calls')}</th><th class="end">p50</th><th class="end">p95</th></tr></thead>
    <tbody>${routes.slice(0, SHOWN_ROUTES).map((each) => html`<tr key=${each.route}>
      <td><code>${each.route}</code></td><td class="end">${number(each.count)}</td>
      <td class="end">${milliseconds(each.p50_ms)}</td><td class="end">${milliseconds(each.p95_ms)}</td>
    </tr>`)}</tbody>
  </table></div>`;
}
