import { classes, html, useState } from '../../html.js';
import { compact, moment, number, t } from '../../i18n/index.js';
import { Icon } from '../../components/icons.js';
import { Panel, Pill } from '../../components/stat.js';
import { metricName } from './kpis.js';

const TONES = { running: 'calm', done: 'good', failed: 'bad', interrupted: 'warn' };

/** Runs, the newest first, a page at a time. */
export function RunList({ page, chosen, onToggle, hrefOf, token, onToken }) {
  const [before, setBefore] = useState(/** @type {string[]} */ ([]));
  const next = () => {
    setBefore((list) => [...list, token]);
    onToken(page.next_page_token);
  };
  const back = () => {
    onToken(before.at(-1) || '');
    setBefore((list) => list.slice(0, -1));
  };
  return html`<${Panel} title=${t('training.runs', { count: number(page.total_count) })} className="side">
    <ul class="run-list">${page.runs.map((run) => html`<${Row} key=${run.run_id} run=${run} isChosen=${chosen.includes(run.run_id)} onToggle=${onToggle} href=${hrefOf(run.run_id)} />`)}</ul>
    ${(before.length > 0 || page.next_page_token) && html`<div class="row between">
      <button type="button" class="quiet" disabled=${!before.length} onClick=${back}><${Icon} name="back" />${t('action.back')}</button>
      <button type="button" class="quiet" disabled=${!page.next_page_token} onClick=${next}>${t('action.next')}<${Icon} name="next" /></button>
    </div>`}
  <//>`;
}

function Row({ run, isChosen, onToggle, href }) {
  const { run_id: id, state, epoch, max_epochs: last, headline, failure, problem } = run;
  return html`<li class=${classes('run', isChosen && 'on')} data-run=${id}>
    <input type="checkbox" checked=${isChosen} onChange=${() => onToggle(id)} aria-label=${t('training.compare', { name: id })} title=${t('training.compare', { name: id })} />
    <a href=${href} aria-current=${isChosen ? 'true' : undefined}>
      <span class="row between"><span class="strong clip">${id}</span><${Pill} tone=${TONES[state] || 'calm'}>${t(`run.${state}`)}<//></span>
      <span class="muted small">${t(`run.kind_${run.kind}`)} · ${moment(run.started_at)}</span>
      <span class="small">${last > 0 && t('training.epoch', { epoch: number(epoch), last: number(last) })}${headline && ` · ${metricName(headline.name)} ${compact(headline.value)}`}</span>
      ${(failure || problem) && html`<span class="small bad">${failure || problem}</span>`}
    </a>
  </li>`;
}
