import { Fragment, classes, html, useEffect } from '../../html.js';
import { t } from '../../i18n/index.js';
import { CopyAs } from '../../components/copy-as.js';
import { collection } from '../../state/settings.js';
import { go, route } from '../../state/route.js';
import { Bestsellers, bestsellerSnippets } from './bestsellers.js';
import { change, query, snippetsOf } from './query.js';
import { QueryPanel } from './query-panel.js';
import { Results } from './results.js';

const MODES = ['similar', 'bestsellers'];

/** Pictures in, pictures out: for a customer by similarity, for the shop from its bestsellers. */
export function Recommend() {
  const { parameters } = route.use();
  const name = collection.use();
  const state = query.use();
  const mode = parameters.mode === 'bestsellers' ? 'bestsellers' : 'similar';
  useEffect(() => {
    if (parameters.item) change({ subject: { kind: 'item', itemId: parameters.item } });
  }, [parameters.item]);
  const snippets = () => (mode === 'similar' ? snippetsOf(state, name) : bestsellerSnippets(name));
  return html`<${Fragment}>
    <div class="view-head">
      <div><h1>${t('recommend.title')}</h1><p class="muted">${t(`recommend.lead_${mode}`)}</p></div>
      <div class="row">
        <div class="segments" role="group" aria-label=${t('recommend.mode')}>
          ${MODES.map((each) => html`<button key=${each} type="button" aria-pressed=${each === mode} class=${classes(each === mode && 'on')} onClick=${() => go('recommend', each === 'similar' ? {} : { mode: each })}>${t(`recommend.mode_${each}`)}</button>`)}
        </div>
        <${CopyAs} snippets=${snippets} />
      </div>
    </div>
    ${mode === 'similar'
      ? html`<div class="with-side"><${QueryPanel} state=${state} /><${Results} state=${state} collection=${name} /></div>`
      : html`<${Bestsellers} collection=${name} />`}
  <//>`;
}
