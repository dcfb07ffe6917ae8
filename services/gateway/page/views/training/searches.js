import { classes, html, useState } from '../../html.js';
import { number, t } from '../../i18n/index.js';
import { runFileAddress } from '../../api.js';
import { Picture } from '../../components/picture.js';
import { Panel } from '../../components/stat.js';
import { wordLabel } from '../../state/vocabulary.js';

/** What the model finds for a query of each category, the right ones marked. */
export function Searches({ runId, searches }) {
  const [chosen, setChosen] = useState('');
  const categories = searches?.categories || [];
  const category = categories.find((each) => each.category === chosen) || categories[0];
  if (!category) return null;
  const address = (name) => (name ? runFileAddress(runId, name) : '');
  return html`<${Panel} title=${t('training.searches')}>
    <div class="segments scroll" role="group" aria-label=${t('training.category')}>
      ${categories.map((each) => html`<button key=${each.category} type="button" aria-pressed=${each === category} class=${classes(each === category && 'on')} onClick=${() => setChosen(each.category)}>${each.category}</button>`)}
    </div>
    ${category.queries.map((search, place) => html`<div key=${place} class="search-row">
      <figure class="search-query">${search.query.image && html`<${Picture} address=${address(search.query.image)} alt=${search.query.label} />`}
        <figcaption class="small"><span class="strong">${search.query.label}</span> ${wordsOf(search.query.attributes)}</figcaption></figure>
      <ol class="strip" tabindex="0" aria-label=${t('training.found_for', { name: search.query.label })}>
        ${search.results.map((result) => html`<li key=${result.item_id} class=${classes('found', result.is_match && 'match')}>
          <${Picture} address=${address(result.image)} alt=${result.item_id} />
          <span class="row between small"><span class="clip">${result.item_id}</span><span>${number(result.score, 2)}</span></span>
          ${result.is_match && html`<span class="small good">${t('training.match')}</span>`}
        </li>`)}
      </ol>
    </div>`)}
  <//>`;
}

/** @param {Record<string, string[]>} attributes */
export const wordsOf = (attributes = {}) =>
  Object.entries(attributes).flatMap(([field, words]) => [words].flat().map((word) => wordLabel(field, word))).join(' · ');
