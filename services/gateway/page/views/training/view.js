import { Fragment, html, useEffect, useState } from '../../html.js';
import { t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { CopyAs } from '../../components/copy-as.js';
import { curl, pythonGet } from '../../components/snippets.js';
import { Empty, Failure, Loaded, Skeleton } from '../../components/states.js';
import { useResource } from '../../state/resource.js';
import { addressOf, go, route } from '../../state/route.js';
import { Augmentation } from './augmentation.js';
import { Curves } from './curves.js';
import { Groups, RunKpis } from './kpis.js';
import { RunList } from './run-list.js';
import { Searches } from './searches.js';
import { Settings, Tuning } from './settings.js';

const MOST_COMPARED = 4;
const POINTS = 500;
const LIVE_MS = 3000;
// Between identifiers in the address: they are paths, in which it does not occur.
const BETWEEN = '//';

/** Runs below the runs' folder: one in full, or up to four beside each other. */
export function Training() {
  const { parameters } = route.use();
  const [token, setToken] = useState('');
  const runs = useResource((signal) => api.runs({ page_size: 25, page_token: token }, signal), [token], { every: LIVE_MS });
  const chosen = (parameters.runs || runs.data?.runs[0]?.run_id || '').split(BETWEEN).filter(Boolean);
  const toggle = (runId) => {
    const next = chosen.includes(runId) ? chosen.filter((each) => each !== runId) : [...chosen, runId].slice(-MOST_COMPARED);
    go('training', { runs: next.join(BETWEEN) });
  };
  return html`<${Fragment}>
    <div class="view-head">
      <div><h1>${t('training.title')}</h1><p class="muted">${t('training.lead')}</p></div>
      <${CopyAs} snippets=${() => snippets(chosen[0])} />
    </div>
    <${Loaded} resource=${runs} skeleton=${html`<${Skeleton} count=${6} />`}>${(page) =>
      page.runs.length === 0 && !token
        ? html`<${Empty} icon="training" title=${t('training.empty')} hint=${t('training.empty_hint')}><code>atelier fashion train --help</code><//>`
        : html`<div class="with-side wide-side">
            <${RunList} page=${page} chosen=${chosen} onToggle=${toggle} hrefOf=${(id) => addressOf('training', { runs: id })} token=${token} onToken=${setToken} />
            <${Details} chosen=${chosen} />
          </div>`}<//>
  <//>`;
}

/** The documents of the chosen runs, fetched again while one is running. */
function Details({ chosen }) {
  const [isLive, setLive] = useState(false);
  const fetcher = chosen.length ? (signal) => documents(chosen, signal) : null;
  const resource = useResource(fetcher, [chosen.join()], { every: isLive ? LIVE_MS : 0 });
  useEffect(() => setLive((resource.data || []).some(({ document }) => document?.run.state === 'running')), [resource.data]);
  if (!chosen.length) return html`<${Empty} icon="training" title=${t('training.choose')} />`;
  return html`<div class="stack" aria-busy=${resource.isLoading}>
    <${Loaded} resource=${resource} skeleton=${html`<div class="stack"><${Skeleton} kind="cards" count=${4} /><${Skeleton} kind="chart" /></div>`}>${(loaded) => html`<${Documents} loaded=${loaded} />`}<//>
  </div>`;
}

/** One answer a run; a run that cannot be read does not hide the others. */
const documents = (runIds, signal) =>
  Promise.all(
    runIds.map((runId) =>
      api.dashboard({ run_id: runId, points: POINTS }, signal).then(
        (document) => ({ runId, document }),
        (error) => {
          if (error.name === 'AbortError' || error.isTransient) throw error;
          return { runId, error };
        },
      ),
    ),
  );

function Documents({ loaded }) {
  const readable = loaded.filter(({ document }) => document);
  const [first] = readable;
  return html`<div class="stack">
    ${loaded.filter(({ error }) => error).map(({ runId, error }) => html`<div key=${runId}><p class="small strong">${runId}</p><${Failure} error=${error} /></div>`)}
    ${readable.length > 0 && html`<${RunKpis} runs=${readable} />`}
    ${readable.length > 0 && html`<${Curves} runs=${readable} />`}
    ${readable.length === 1 && html`<${Groups} document=${first.document} />`}
    ${readable.length > 0 && html`<${Settings} runs=${readable} />`}
    ${readable.length === 1 && html`<${Tuning} tuning=${first.document.hyperparams.tuning} />`}
    ${readable.length === 1 && html`<${Searches} runId=${first.runId} searches=${first.document.top_k_images} />`}
    ${readable.length === 1 && html`<${Augmentation} runId=${first.runId} samples=${first.document.augmented_samples} />`}
  </div>`;
}

function snippets(runId) {
  const path = runId ? `/api/dashboard?run_id=${encodeURIComponent(runId)}&points=${POINTS}` : '/api/runs';
  return { curl: curl('GET', path), python: pythonGet(path), grpcurl: '' };
}
