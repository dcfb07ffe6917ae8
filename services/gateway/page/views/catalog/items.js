import { html, useState } from '../../html.js';
import { number, t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { Icon } from '../../components/icons.js';
import { CardGrid, ItemCard } from '../../components/item-card.js';
import { Empty, Loaded, Skeleton } from '../../components/states.js';
import { useResource } from '../../state/resource.js';
import { go } from '../../state/route.js';
import { listed, vocabulary } from '../../state/vocabulary.js';

export const PAGE_SIZE = 48;
const MOST = 1000;

/** Every item, a page at a time, in the order of identifiers. @param {{ collection: string, changes: number, upload: any }} properties */
export function AllItems({ collection, changes, upload }) {
  const [tokens, setTokens] = useState(['']);
  const request = { collection, page_size: PAGE_SIZE, page_token: tokens.at(-1) };
  const resource = useResource((signal) => api.items(request, signal), [collection, tokens, changes], { keep: true });
  return html`<section aria-busy=${resource.isLoading} aria-label=${t('catalog.items')}>
    <${Loaded} resource=${resource} skeleton=${html`<${Skeleton} kind="cards" count=${12} />`}>${(page) =>
      page.items.length === 0
        ? html`<${Empty} icon="catalog" title=${t('catalog.empty')} hint=${t('catalog.empty_hint')}>${upload}<//>`
        : html`<div>
            <p class="muted small" data-role="count">${t('catalog.count', { count: number(page.total_count) })}</p>
            <${Cards} items=${page.items} />
            <${Pages} tokens=${tokens} next=${page.next_page_token} onTokens=${setTokens} />
          </div>`}<//>
  </section>`;
}

/** Items that satisfy a filter; lists have no filter of their own, so this is a search. */
export function FilteredItems({ collection, filter, changes }) {
  const [count, setCount] = useState(PAGE_SIZE);
  const request = searchFor(collection, filter, count);
  const resource = useResource((signal) => api.recommend(request, [], signal), [JSON.stringify(request), changes], { keep: true });
  return html`<section aria-busy=${resource.isLoading} aria-label=${t('catalog.items')}>
    <${Loaded} resource=${resource} skeleton=${html`<${Skeleton} kind="cards" count=${12} />`}>${({ recommendations }) =>
      recommendations.length === 0
        ? html`<${Empty} icon="catalog" title=${t('catalog.no_match')} hint=${t('catalog.no_match_hint')} />`
        : html`<div>
            <p class="muted small" data-role="count">${t('catalog.filtered', { count: `${number(recommendations.length)}${recommendations.length === count ? '+' : ''}` })}</p>
            <${Cards} items=${recommendations.map(({ item }) => item)} />
            ${recommendations.length === count && count < MOST && html`<div class="row pages"><button type="button" class="quiet" onClick=${() => setCount(Math.min(MOST, count + PAGE_SIZE))}>${t('catalog.more')}</button></div>`}
          </div>`}<//>
  </section>`;
}

/**
 * The search behind a filter: near to its words or, where it has none, to any word, since the filter alone decides.
 * @param {string} collection @param {any} filter @param {number} count
 */
export function searchFor(collection, filter, count) {
  const first = vocabulary.get().fields.find(({ words }) => words.length);
  const known = Object.entries(filter.any_of || {}).map(([field, words]) => [field, listed(words).slice(0, 1)]);
  const attributes = Object.fromEntries(known.length ? known : first ? [[first.name, [first.words[0].word]]] : []);
  return { collection, query: { attributes: singles(attributes) }, filter, item_count: count };
}

/** A record with a plain word in fields that hold one. */
const singles = (attributes) =>
  Object.fromEntries(
    Object.entries(attributes).map(([name, words]) => [name, vocabulary.get().fields.find((field) => field.name === name)?.is_list ? words : words[0]]),
  );

const Cards = ({ items }) => html`<${CardGrid} label=${t('catalog.items')}>
  ${items.map((item) => html`<${ItemCard} key=${item.item_id} item=${item} action=${t('catalog.open')} onChoose=${() => go('catalog', { item: item.item_id })} />`)}
<//>`;

function Pages({ tokens, next, onTokens }) {
  if (tokens.length === 1 && !next) return null;
  const turn = (list) => {
    onTokens(list);
    scrollTo({ top: 0 });
  };
  return html`<nav class="row pages" aria-label=${t('catalog.pages')}>
    <button type="button" class="quiet" disabled=${tokens.length === 1} onClick=${() => turn(tokens.slice(0, -1))}><${Icon} name="back" />${t('action.back')}</button>
    <span class="muted small">${t('catalog.page', { page: number(tokens.length) })}</span>
    <button type="button" class="quiet" disabled=${!next} onClick=${() => turn([...tokens, next])}>${t('action.next')}<${Icon} name="next" /></button>
  </nav>`;
}
