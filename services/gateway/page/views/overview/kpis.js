import { html } from '../../html.js';
import { milliseconds, number, percent, t } from '../../i18n/index.js';
import { Failure, Skeleton } from '../../components/states.js';
import { Stat, Stats } from '../../components/stat.js';

/** Figures of the collection, and of the answers given so far. */
export function Kpis({ kpis, index }) {
  if (!kpis.data && !index.data) {
    const failed = kpis.error || index.error;
    return failed ? html`<${Failure} error=${failed} reload=${kpis.reload} />` : html`<${Skeleton} kind="cards" count=${6} />`;
  }
  const figures = kpis.data || {};
  const status = index.data || {};
  const feedback = total(figures.leads || []);
  const embeddings = figures.embeddings;
  return html`<${Stats} label=${t('kpi.title')}>
    <${Stat} label=${t('kpi.items')} value=${number(status.live_count)} hint=${t('kpi.revision', { revision: number(status.catalogue_revision) })} />
    <${Stat} label=${t('kpi.latency')} value=${milliseconds(figures.p50_ms)} hint=${t('kpi.latency_hint', { p95: milliseconds(figures.p95_ms), p99: milliseconds(figures.p99_ms) })} />
    <${Stat} label=${t('kpi.similarity')} value=${figures.mean_similarity ? number(figures.mean_similarity, 3) : '–'} hint=${t('kpi.similarity_hint')} />
    <${Stat} label=${t('kpi.hit_rate')} value=${feedback.shown ? percent(feedback.taken / feedback.shown, 1) : '–'} hint=${t('kpi.hit_rate_hint', { taken: number(feedback.taken), shown: number(feedback.shown) })} />
    <${Stat} label=${t('kpi.coverage')} value=${percent(figures.coverage)} hint=${t('kpi.coverage_hint')} />
    <${Stat} label=${t('kpi.centrality')} value=${embeddings ? number(embeddings.centrality_mean, 3) : '–'} hint=${embeddings ? t('kpi.centrality_hint', { low: number(embeddings.centrality_min, 2), high: number(embeddings.centrality_max, 2) }) : ''} />
  <//>`;
}

function total(leads) {
  const sum = (name) => leads.reduce((all, lead) => all + Number(lead[name] || 0), 0);
  return { shown: sum('shown_count'), taken: sum('clicked_count') + sum('liked_count') + sum('purchased_count') };
}
