import { Fragment, html, useState } from '../../html.js';
import { t } from '../../i18n/index.js';
import { CopyAs } from '../../components/copy-as.js';
import { FilterPanel, asked } from '../../components/filter-panel.js';
import { Icon } from '../../components/icons.js';
import { curl, grpcurl, python } from '../../components/snippets.js';
import { addressOf, go, route } from '../../state/route.js';
import { collection } from '../../state/settings.js';
import { AllItems, FilteredItems, PAGE_SIZE, searchFor } from './items.js';
import { ItemDialog } from './item-dialog.js';
import { UploadDialog } from './upload-dialog.js';

/** Items of a collection: browse, filter, upload, edit, delete. */
export function Catalog() {
  const name = collection.use();
  const { parameters } = route.use();
  const [filter, setFilter] = useState({});
  const [isUploading, setUploading] = useState(false);
  const [changes, setChanges] = useState(0);
  const reload = () => setChanges((count) => count + 1);
  const upload = html`<button type="button" onClick=${() => setUploading(true)}><${Icon} name="plus" />${t('catalog.upload')}</button>`;
  return html`<${Fragment}>
    <div class="view-head">
      <div><h1>${t('catalog.title')}</h1><p class="muted">${t('catalog.lead')}</p></div>
      <div class="row">${upload}<${CopyAs} snippets=${() => snippets(name, filter)} /></div>
    </div>
    <div class="with-side">
      <aside class="side panel" aria-label=${t('filter.title')}>
        <${Find} />
        <${FilterPanel} idPrefix="catalog" filter=${filter} onChange=${setFilter} />
      </aside>
      ${asked(filter)
        ? html`<${FilteredItems} key=${JSON.stringify(filter)} collection=${name} filter=${filter} changes=${changes} />`
        : html`<${AllItems} key=${name} collection=${name} changes=${changes} upload=${upload} />`}
    </div>
    ${parameters.item && html`<${ItemDialog} key=${parameters.item} itemId=${parameters.item} collection=${name} onClose=${() => go('catalog')} onChanged=${reload} />`}
    ${isUploading && html`<${UploadDialog} collection=${name} onClose=${() => setUploading(false)} onChanged=${reload} />`}
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

/** What the view shows: a page of all items or, filtered, a search. */
function snippets(collection, filter) {
  if (!asked(filter)) {
    const message = { collection, page_size: PAGE_SIZE };
    return {
      curl: curl('GET', `/api/items?${new URLSearchParams(message)}`),
      python: python({ service: 'recommender', module: 'catalog_pb2', request: 'ListItemsRequest', message, call: '*client.list_items(collection=request.collection, page_size=request.page_size)' }),
      grpcurl: grpcurl('recommender', 'atelier.recommender.v1.CatalogService/ListItems', message),
    };
  }
  const { query, ...rest } = searchFor(collection, filter, PAGE_SIZE);
  const message = { ...rest, attributes: query.attributes };
  return {
    curl: curl('POST', '/api/recommend', { json: { ...rest, query } }),
    python: python({ service: 'recommender', module: 'recommender_pb2', request: 'RecommendRequest', message, call: 'client.recommend(request)' }),
    grpcurl: grpcurl('recommender', 'atelier.recommender.v1.RecommenderService/Recommend', message),
  };
}
