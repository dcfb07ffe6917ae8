import { html, useState } from '../../html.js';
import { number, t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { CardGrid, ItemCard } from '../../components/item-card.js';
import { FilterPanel, asked } from '../../components/filter-panel.js';
import { curl, grpcurl, python } from '../../components/snippets.js';
import { Empty, Loaded, Skeleton } from '../../components/states.js';
import { Panel } from '../../components/stat.js';
import { useResource } from '../../state/resource.js';
import { go } from '../../state/route.js';
import { SalesForm } from './sales-form.js';
import { TimeTrends, Trends } from './trends.js';

const ITEM_COUNT = 12;
let sales = /** @type {{ item_id: string, units: number }[]} */ ([]);

const requestOf = (collection, rows, filter) => ({
  collection,
  ...(rows.length ? { sales: rows } : { use_proxy: true }),
  item_count: ITEM_COUNT,
  ...(filter && { filter }),
});

/** New products like the shop's bestsellers, and the trend behind them. @param {{ collection: string }} properties */
export function Bestsellers({ collection }) {
  const [rows, setRows] = useState(sales);
  const [filter, setFilter] = useState({});
  const request = requestOf(collection, rows, asked(filter));
  const resource = useResource((signal) => api.bestsellers(request, signal), [JSON.stringify(request)], { keep: true });
  const take = (next) => setRows((sales = next));
  return html`<div class="with-side">
    <aside class="side panel" aria-label=${t('bestsellers.source')}>
      <${SalesForm} rows=${rows} onRows=${take} />
      <${FilterPanel} idPrefix="bestsellers" filter=${filter} onChange=${setFilter} />
    </aside>
    <div class="stack" aria-busy=${resource.isLoading}>
      <${Loaded} resource=${resource} skeleton=${html`<${Skeleton} kind="cards" count=${12} />`}>${(answer) => html`<div class="stack">
        <${Strip} answer=${answer} />
        <${NewProducts} answer=${answer} />
        <${Trends} trends=${answer.trends || []} />
      </div>`}<//>
      <${TimeTrends} collection=${collection} />
    </div>
  </div>`;
}

function Strip({ answer }) {
  const items = answer.bestsellers || [];
  return html`<${Panel} title=${t('bestsellers.title', { count: number(answer.bestseller_count ?? items.length) })}>
    <p class="muted small">${t(`bestsellers.from_${answer.source}`)}</p>
    <ul class="strip" tabindex="0" aria-label=${t('bestsellers.strip')}>
      ${items.slice(0, 24).map((item) => html`<${ItemCard} key=${item.item_id} item=${item} action=${t('card.more_like_this')} onChoose=${() => go('recommend', { item: item.item_id })} />`)}
    </ul>
  <//>`;
}

function NewProducts({ answer }) {
  return html`<${Panel} title=${t('bestsellers.new')}>
    ${answer.recommendations.length === 0
      ? html`<${Empty} icon="similar" title=${t('bestsellers.nothing')} hint=${t('bestsellers.nothing_hint')} />`
      : html`<${CardGrid} label=${t('bestsellers.new')}>
          ${answer.recommendations.map(({ item, similarity }) => html`<${ItemCard} key=${item.item_id} item=${item} similarity=${similarity} action=${t('card.more_like_this')} onChoose=${() => go('recommend', { item: item.item_id })} />`)}
        <//>`}
  <//>`;
}

/** @param {string} collection */
export function bestsellerSnippets(collection) {
  const { sales: rows, ...common } = requestOf(collection, sales);
  const message = rows ? { ...common, sales: { rows } } : common;
  return {
    curl: curl('POST', '/api/recommend/top10_to_new', { json: requestOf(collection, sales) }),
    python: python({ service: 'recommender', module: 'recommender_pb2', request: 'RecommendFromBestsellersRequest', message, call: 'client.recommend_from_bestsellers(request)' }),
    grpcurl: grpcurl('recommender', 'atelier.recommender.v1.RecommenderService/RecommendFromBestsellers', message),
  };
}
