import { Fragment, html, useState } from '../../html.js';
import { number, t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { CopyAs } from '../../components/copy-as.js';
import { FilterPanel, asked } from '../../components/filter-panel.js';
import { Icon } from '../../components/icons.js';
import { CardGrid, ItemCard } from '../../components/item-card.js';
import { curl, grpcurl, python } from '../../components/snippets.js';
import { Empty, Loaded, Skeleton } from '../../components/states.js';
import { useResource } from '../../state/resource.js';
import { addressOf, go, route } from '../../state/route.js';
import { collection } from '../../state/settings.js';
import { ItemDialog } from './item-dialog.js';
import { UploadDialog } from './upload-dialog.js';

const PAGE_SIZE = 48;

/** Items of a collection: browse, filter, upload, edit, delete. */
export function Catalog() {
  const name = collection.use();
  const { parameters } = route.use();
  const [filter, setFilter] = useState({});
  const [tokens, setTokens] = useState(['']);
  const [isUploading, setUploading] = useState(false);
  const request = { collection: name, page_size: PAGE_SIZE, page_token: tokens.at(-1), ...(asked(filter) && { filter: JSON.stringify(filter) }) };
  const items = useResource((signal) => api.items(request, signal), [JSON.stringify(request)]);
  const changeFilter = (next) => {
    setFilter(next);
    setTokens(['']);
  };
  const upload = html`<button type="button" onClick=${() => setUploading(true)}><${Icon} name="plus" />${t('catalog.upload')}</button>`;
  return html`<${Fragment}>
    <div class="view-head">
      <div><h1>${t('catalog.title')}</h1><p class="muted">${t('catalog.lead')}</p></div>
      <div class="row">${upload}<${CopyAs} snippets=${() => snippets(request)} /></div>
    </div>
    <div class="with-side">
      <aside class="side panel" aria-label=${t('filter.title')}>
        <${Find} />
        <${FilterPanel} idPrefix="catalog" filter=${filter} onChange=${changeFilter} />
      </aside>
      <section aria-busy=${items.isLoading} aria-label=${t('catalog.items')}>
        <${Loaded} resource=${items} skeleton=${html`<${Skeleton} kind="cards" count=${12} />`}>${(page) =>
          page.items.length === 0
            ? html`<${Empty} icon="catalog" title=${t(asked(filter) ? 'catalog.no_match' : 'catalog.empty')} hint=${t(asked(filter) ? 'catalog.no_match_hint' : 'catalog.empty_hint')}>${!asked(filter) && upload}<//>`
            : html`<div>
                <p class="muted small" data-role="count">${t('catalog.count', { count: number(page.total_count) })}</p>
                <${CardGrid} label=${t('catalog.items')}>
                  ${page.items.map((item) => html`<${ItemCard} key=${item.item_id} item=${item} action=${t('catalog.open')} onChoose=${() => go('catalog', { item: item.item_id })} />`)}
                <//>
                <${Pages} tokens=${tokens} next=${page.next_page_token} onTokens=${setTokens} />
              </div>`}<//>
      </section>
    </div>
    ${parameters.item && html`<${ItemDialog} key=${parameters.item} itemId=${parameters.item} collection=${name} onClose=${() => go('catalog')} onChanged=${items.reload} />`}
    ${isUploading && html`<${UploadDialog} collection=${name} onClose=${() => setUploading(false)} onChanged=${items.reload} />`}
  <//>`;
}

/** Straight to an item whose identifier is known. */
function Find() {
  const submit = (event) => {
    event.preventDefault();
    const itemId = new FormData(event.target).get('item').trim();
    if (itemId) location.hash = addressOf('catalog', { item: itemId });
  };
  return html`<form onSubmit=${submit} role="search"><label>${t('catalog.find')}<input type="search" name="item" placeholder=${t('catalog.find_hint')} /></label></form>`;
}

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

function snippets({ collection: name, page_size, page_token, filter }) {
  const message = { collection: name, page_size, ...(page_token && { page_token }) };
  const query = new URLSearchParams({ ...message, ...(filter && { filter }) });
  return {
    curl: curl('GET', `/api/items?${query}`),
    python: python({ service: 'recommender', module: 'catalog_pb2', request: 'ListItemsRequest', message, call: '*client.list_items(collection=request.collection, page_size=request.page_size)' }),
    grpcurl: grpcurl('recommender', 'atelier.recommender.v1.CatalogService/ListItems', message),
  };
}
