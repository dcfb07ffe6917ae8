import { Fragment, html } from '../../html.js';
import { t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { CopyAs } from '../../components/copy-as.js';
import { curl, grpcurl, pythonGet } from '../../components/snippets.js';
import { useResource } from '../../state/resource.js';
import { collection } from '../../state/settings.js';
import { IndexPanel } from './index-panel.js';
import { Kpis } from './kpis.js';
import { LatencyPanel } from './latency-panel.js';
import { ModelsPanel } from './models-panel.js';
import { ServicesPanel } from './services-panel.js';

const REFRESH_MS = 5000;

/** State of everything that serves: figures, models, index, latency. */
export function Overview() {
  const name = collection.use();
  const kpis = useResource((signal) => api.kpis({ collection: name }, signal), [name], { every: REFRESH_MS });
  const index = useResource((signal) => api.index({ collection: name }, signal), [name], { every: REFRESH_MS });
  return html`<${Fragment}>
    <div class="view-head">
      <div><h1>${t('overview.title')}</h1><p class="muted">${t('overview.lead')}</p></div>
      <${CopyAs} snippets=${() => snippets(name)} />
    </div>
    <${Kpis} kpis=${kpis} index=${index} />
    <div class="columns">
      <div class="stack">
        <${ModelsPanel} />
        <${IndexPanel} index=${index} collection=${name} />
      </div>
      <div class="stack">
        <${ServicesPanel} />
        <${LatencyPanel} />
      </div>
    </div>
  <//>`;
}

const snippets = (name) => ({
  curl: [curl('GET', '/api/models'), curl('GET', `/api/index?collection=${encodeURIComponent(name)}`)].join('\n'),
  python: pythonGet('/api/models'),
  grpcurl: [
    grpcurl('recommender', 'atelier.recommender.v1.RecommenderService/ListModels', {}),
    grpcurl('recommender', 'atelier.recommender.v1.IndexService/GetStatus', { collection: name }),
  ].join('\n'),
});
