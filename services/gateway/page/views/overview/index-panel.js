import { html, useState } from '../../html.js';
import { number, percent, t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { Loaded } from '../../components/states.js';
import { Bar, Panel, Pill } from '../../components/stat.js';
import { withToken } from '../../components/token-dialog.js';
import { showDone } from '../../state/toasts.js';

/** The neighbour index: what it holds, and the recall that it measures on its own queries. */
export function IndexPanel({ index, collection }) {
  const [isBuilding, setBuilding] = useState(false);
  const rebuild = async () => {
    setBuilding(true);
    const built = await withToken(() => api.rebuild({ collection }));
    setBuilding(false);
    if (built) showDone(t('index.rebuilt', { count: number(built.live_count), ms: number(built.build_ms) }));
    index.reload();
  };
  const actions = html`<button type="button" class="quiet" aria-busy=${isBuilding} disabled=${isBuilding} onClick=${rebuild}>${t('index.rebuild')}</button>`;
  return html`<${Panel} title=${t('index.title')} actions=${actions}>
    <${Loaded} resource=${index}>${(status) => html`<div>
      <${Facts} status=${status} />
      ${status.detail && html`<p><${Pill} tone="warn">${status.detail}<//></p>`}
      <h3>${t('index.recall')}</h3>
      <${Recalls} recalls=${status.recalls || []} />
    </div>`}<//>
  <//>`;
}

function Facts({ status }) {
  const facts = [
    [t('index.live'), number(status.live_count)],
    [t('index.segments'), number(status.segment_rows)],
    [t('index.delta'), number(status.delta_rows)],
    [t('index.dead'), number(status.dead_rows)],
    [t('index.dimension'), number(status.dimension)],
    [t('index.generation'), number(status.generation)],
  ];
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Recalls({ recalls }) {
  if (!recalls.length) return html`<p class="muted small">${t('index.no_recall')}</p>`;
  return recalls.map((each) => html`<${Bar}
    key=${`${each.query_kind}${each.item_share}`}
    label=${`${t(`query.${each.query_kind}`)} · ${each.item_share >= 1 ? t('index.unfiltered') : t('index.share', { share: percent(each.item_share) })}`}
    share=${each.recall}
    text=${each.is_exact ? t('index.exact') : percent(each.recall, 1)}
  />`);
}
