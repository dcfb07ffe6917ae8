import { html, useState } from '../../html.js';
import { compact, date, moment, t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { Empty, Loaded, Skeleton } from '../../components/states.js';
import { Panel, Pill } from '../../components/stat.js';
import { withToken } from '../../components/token-dialog.js';
import { useResource } from '../../state/resource.js';
import { connection } from '../../state/services.js';
import { showDone } from '../../state/toasts.js';

const PRODUCTION = 'production';
const REFRESH_MS = 5000;

/** Published models: what is in production, what else there is, and the way there and back. */
export function ModelsPanel() {
  const resource = useResource((signal) => api.models(signal), [], { every: REFRESH_MS });
  return html`<${Panel} title=${t('models.title')}>
    <${Loaded} resource=${resource} skeleton=${html`<${Skeleton} count=${5} />`}>${(data) =>
      data.models.length
        ? data.models.map((model) => html`<${ModelCard} key=${model.name} model=${model} canChange=${data.can_change !== false} reload=${resource.reload} />`)
        : html`<${Empty} icon="training" title=${t('models.empty')} hint=${t('models.empty_hint')} />`}<//>
  <//>`;
}

function ModelCard({ model, canChange, reload }) {
  const production = model.aliases?.[PRODUCTION];
  const current = model.versions.find((each) => each.version === production?.version);
  const served = useServed(model.name);
  const move = async (work, title) => {
    if (await withToken(work)) {
      showDone(title);
      reload();
    }
  };
  const expect = production?.version ?? 0;
  const promote = (version) =>
    move(() => api.promote(model.name, PRODUCTION, { version, expect }), t('models.promoted', { name: model.name, version }));
  const rollback = () => move(() => api.rollback(model.name, PRODUCTION, { expect }), t('models.rolled_back', { name: model.name }));
  return html`<article class="model" data-model=${model.name}>
    <div class="model-line">
      <div><h3>${model.name}</h3>
        <p class="muted small">${current ? `${current.precision} · ${date(current.created_at)} · ${current.digest.slice(0, 12)}` : t('models.none_in_production')}</p>
      </div>
      <span class="row">
        ${current && !current.trained && html`<${Pill} tone="warn">${t('models.untrained')}<//>`}
        ${production && html`<${Pill} tone="good"><span data-role="production">v${production.version}</span> · ${PRODUCTION}<//>`}
        ${served && served !== production?.version && html`<${Pill} tone="calm">${t('models.serving', { version: served })}<//>`}
      </span>
    </div>
    <details class="fold">
      <summary>${t('models.versions', { count: model.versions.length })}</summary>
      <${Metrics} metrics=${current?.metrics} />
      <${Versions} model=${model} canChange=${canChange} onPromote=${promote} />
      <${History} alias=${production} canChange=${canChange} onRollback=${rollback} />
    </details>
  </article>`;
}

/** The version of a model that a service answers with now. */
function useServed(name) {
  const models = connection.use().services.flatMap((each) => each.models || []);
  return models.find((each) => each.identity.name === name && each.state === 'serving')?.identity.version;
}

function Metrics({ metrics }) {
  const figures = Object.entries(metrics || {}).filter(([, value]) => typeof value === 'number');
  if (!figures.length) return null;
  return html`<ul class="chips">${figures.slice(0, 8).map(([name, value]) => html`<li key=${name} class="chip"><span class="muted">${name}</span> ${compact(value)}</li>`)}</ul>`;
}

function Versions({ model, canChange, onPromote }) {
  const [asked, setAsked] = useState(0);
  const aliasesOf = (version) => Object.entries(model.aliases || {}).filter(([, alias]) => alias.version === version).map(([name]) => name);
  return html`<ul class="rows">
    ${[...model.versions].reverse().map(({ version, precision, created_at, problem }) => html`<li key=${version}>
      <span><span class="strong">v${version}</span> ${problem
        ? html`<span class="small bad">${problem}</span>`
        : html`<span class="muted small">${precision} · ${moment(created_at)}</span>`}</span>
      <span class="row">
        ${aliasesOf(version).map((name) => html`<${Pill} key=${name} tone=${name === PRODUCTION ? 'good' : 'calm'}>${name}<//>`)}
        ${canChange && !problem && !aliasesOf(version).includes(PRODUCTION) && (asked === version
          ? html`<button type="button" onClick=${() => { setAsked(0); onPromote(version); }}>${t('models.confirm', { version })}</button>`
          : html`<button type="button" class="quiet" onClick=${() => setAsked(version)}>${t('models.promote')}</button>`)}
      </span>
    </li>`)}
  </ul>`;
}

function History({ alias, canChange, onRollback }) {
  const before = (alias?.history || []).map(({ version }) => version);
  const versions = [...before].reverse().concat(alias?.version ?? []).slice(-6);
  if (!before.length) return canChange ? null : html`<p class="muted small">${t('models.read_only')}</p>`;
  return html`<div class="row between">
    <span class="muted small">${t('models.history', { versions: versions.map((version) => `v${version}`).join(' → ') })}</span>
    ${canChange && html`<button type="button" class="quiet" onClick=${onRollback}><span>${t('models.rollback')}</span></button>`}
  </div>`;
}
