import { html, useEffect } from '../../html.js';
import { milliseconds, number, t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { CardGrid, ItemCard } from '../../components/item-card.js';
import { Empty, Loaded, Skeleton } from '../../components/states.js';
import { sendFeedback } from '../../state/feedback.js';
import { useResource } from '../../state/resource.js';
import { go } from '../../state/route.js';
import { isAsked, judge, partNames, requestOf, verdictOn } from './query.js';

const STARTERS = 24;

/** Recommendations for the query or, before there is one, items to begin with. */
export function Results({ state, collection }) {
  return isAsked(state)
    ? html`<${Recommendations} state=${state} collection=${collection} />`
    : html`<${Starters} collection=${collection} />`;
}

function Recommendations({ state, collection }) {
  const { body, pictures } = requestOf(state, collection);
  const resource = useResource((signal) => api.recommend(body, pictures, signal), [JSON.stringify(body), pictures[0]?.[1]], { keep: true });
  const lead = resource.data?.models?.[0];
  const recommendations = resource.data?.recommendations;
  useEffect(() => {
    if (recommendations) sendFeedback('shown', recommendations.map(({ item }) => item.item_id), lead);
  }, [recommendations]);
  const choose = (itemId) => {
    sendFeedback('clicked', [itemId], lead);
    go('recommend', { item: itemId });
    scrollTo({ top: 0 });
  };
  const onVerdict = (itemId, verdict) => judge(itemId, verdict) && sendFeedback(verdict, [itemId], lead);
  const names = partNames(state);
  return html`<section class="results" aria-busy=${resource.isLoading} aria-label=${t('recommend.results')}>
    <${Loaded} resource=${resource} skeleton=${html`<${Skeleton} kind="cards" count=${12} />`}>${(answer) => html`<div>
      <p class="muted small">${summary(answer)}</p>
      ${answer.recommendations.length === 0 && html`<${Empty} icon="similar" title=${t('recommend.nothing')} hint=${t('recommend.nothing_hint')} />`}
      <${CardGrid} label=${t('recommend.results')}>
        ${answer.recommendations.map(({ item, similarity, explanation }) => html`<${ItemCard}
          key=${item.item_id} item=${item} similarity=${similarity} explanation=${explanation} partNames=${names}
          verdict=${verdictOn(state, item.item_id)} action=${t('card.more_like_this')}
          onChoose=${() => choose(item.item_id)} onVerdict=${(verdict) => onVerdict(item.item_id, verdict)}
        />`)}
      <//>
    </div>`}<//>
  </section>`;
}

function summary({ recommendations, models, timings, catalogue_revision }) {
  const lead = models?.[0];
  const spent = Object.values(timings || {}).reduce((all, ms) => all + Number(ms || 0), 0);
  return [
    t('recommend.count', { count: number(recommendations.length) }),
    lead && `${lead.name} v${lead.version}`,
    spent > 0 && milliseconds(spent),
    t('kpi.revision', { revision: number(catalogue_revision) }),
  ].filter(Boolean).join(' · ');
}

function Starters({ collection }) {
  const resource = useResource((signal) => api.items({ collection, page_size: STARTERS }, signal), [collection]);
  const hint = html`<a role="button" href="#/catalog">${t('recommend.open_catalog')}</a>`;
  return html`<section class="results" aria-label=${t('recommend.starters')}>
    <${Loaded} resource=${resource} skeleton=${html`<${Skeleton} kind="cards" count=${12} />`}>${(answer) =>
      answer.items.length === 0
        ? html`<${Empty} icon="catalog" title=${t('catalog.empty')} hint=${t('catalog.empty_hint')}>${hint}<//>`
        : html`<div><p class="muted small">${t('recommend.starters')}</p>
            <${CardGrid} label=${t('recommend.starters')}>
              ${answer.items.map((item) => html`<${ItemCard} key=${item.item_id} item=${item} action=${t('card.more_like_this')} onChoose=${() => go('recommend', { item: item.item_id })} />`)}
            <//>
          </div>`}<//>
  </section>`;
}
