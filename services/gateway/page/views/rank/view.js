import { Fragment, html, useEffect, useState } from '../../html.js';
import { t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { CopyAs } from '../../components/copy-as.js';
import { DropZone } from '../../components/drop-zone.js';
import { PictureFile, curl, grpcurl, python } from '../../components/snippets.js';
import { Empty, Loaded, Skeleton } from '../../components/states.js';
import { Panel } from '../../components/stat.js';
import { useResource } from '../../state/resource.js';
import { signal } from '../../state/signal.js';
import { Calibration } from './calibration.js';
import { Matrix } from './matrix.js';
import { Order, Refused } from './order.js';

/** @typedef {{ file: File, address: string }} Candidate  address: of the picture in memory */

const MOST_PAIRWISE = 128;
const candidates = signal(/** @type {Candidate[]} */ ([]));

const add = (files) => candidates.set((list) => [...list, ...files.map((file) => ({ file, address: URL.createObjectURL(file) }))]);

function clear() {
  candidates.get().forEach(({ address }) => URL.revokeObjectURL(address));
  candidates.set([]);
}

/** @param {Candidate} gone */
function remove(gone) {
  URL.revokeObjectURL(gone.address);
  candidates.set((list) => list.filter((each) => each !== gone));
}

const optionsFor = (list, minProbability) => ({
  include_pairwise: list.length <= MOST_PAIRWISE,
  ...(minProbability > 0.5 && { min_probability: minProbability }),
});

/** Several pictures in; their order, and how sure it is. */
export function Rank() {
  const list = candidates.use();
  const [minProbability, setMinProbability] = useState(0.5);
  const settled = useSettled(minProbability);
  const options = optionsFor(list, settled);
  const fetcher = list.length ? (signal) => api.rank(options, list.map(({ file }) => ['images', file]), signal) : null;
  const resource = useResource(fetcher, [list, settled]);
  return html`<${Fragment}>
    <div class="view-head">
      <div><h1>${t('rank.title')}</h1><p class="muted">${t('rank.lead')}</p></div>
      <${CopyAs} snippets=${() => snippets(list, options)} />
    </div>
    <div class="with-side">
      <aside class="side panel" aria-label=${t('rank.pictures')}>
        <${DropZone} isMultiple label=${t('rank.drop')} hint=${t('rank.drop_hint')} onFiles=${add} />
        <label class="small">${t('rank.min_probability', { share: Math.round(minProbability * 100) })}
          <input type="range" min="0.5" max="0.95" step="0.05" value=${minProbability} onInput=${(event) => setMinProbability(Number(event.target.value))} />
        </label>
        ${list.length > 0 && html`<button type="button" class="quiet" onClick=${clear}>${t('rank.clear', { count: list.length })}</button>`}
      </aside>
      <div class="stack" aria-busy=${resource.isLoading}>
        ${list.length === 0
          ? html`<${Panel} title=${t('rank.order')}><${Empty} icon="rank" title=${t('rank.empty')} hint=${t('rank.empty_hint')} /><//>`
          : html`<${Loaded} resource=${resource} skeleton=${html`<${Skeleton} kind="lines" count=${6} />`}>${(answer) => html`<${Answer} answer=${answer} list=${list} />`}<//>`}
      </div>
    </div>
  <//>`;
}

/** A value that has rested for a moment, so that a slider asks once. */
function useSettled(value) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), 200);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

function Answer({ answer, list }) {
  const pictures = list.map(({ address }) => address);
  return html`<div class="stack">
    <${Refused} errors=${answer.errors || []} list=${list} onRemove=${remove} />
    <${Order} answer=${answer} list=${list} onRemove=${remove} />
    <${Matrix} answer=${answer} pictures=${pictures} />
    <${Calibration} answer=${answer} />
  </div>`;
}

function snippets(list, options) {
  const files = list.length ? list.map(({ file }) => file) : [{ name: 'a.png' }, { name: 'b.png' }];
  const message = { candidates: files.map(({ name }) => ({ id: name, image: new PictureFile(name) })), options: { ...options, no_store: true } };
  return {
    curl: curl('POST', '/api/rank', { request: options, pictures: files.map((file) => ['images', file]) }),
    python: python({ service: 'ranker', module: 'ranker_pb2', request: 'RankRequest', message, call: 'client.rank(request.candidates, request.options)' }),
    grpcurl: grpcurl('ranker', 'atelier.ranker.v1.RankerService/Rank', message),
  };
}
