import { classes, html, useState } from '../../html.js';
import { compact, t } from '../../i18n/index.js';
import { Panel, Pill } from '../../components/stat.js';

const shown = (value) => (typeof value === 'object' && value !== null ? JSON.stringify(value) : typeof value === 'number' ? compact(value) : String(value ?? '–'));

/** Hyperparameters by dotted name; for several runs, what differs stands out. */
export function Settings({ runs }) {
  const [onlyDifferent, setOnlyDifferent] = useState(false);
  const names = [...new Set(runs.flatMap(({ document }) => Object.keys(document.hyperparams.settings || {})))].sort();
  const differs = (name) => new Set(runs.map(({ document }) => JSON.stringify(document.hyperparams.settings?.[name]))).size > 1;
  const rows = onlyDifferent ? names.filter(differs) : names;
  if (!names.length) return null;
  const toggle = runs.length > 1 && html`<label class="check small"><input type="checkbox" role="switch" checked=${onlyDifferent} onChange=${(event) => setOnlyDifferent(event.target.checked)} />${t('training.only_different')}</label>`;
  return html`<${Panel} title=${t('training.settings')} actions=${toggle}>
    <div class="scroll tall" tabindex="0" role="region" aria-label=${t('training.settings')}><table>
      <thead><tr><th>${t('training.setting')}</th>${runs.map(({ runId }) => html`<th key=${runId}>${runs.length > 1 ? runId : t('training.value')}</th>`)}</tr></thead>
      <tbody>${rows.map((name) => html`<tr key=${name} class=${classes(runs.length > 1 && differs(name) && 'differs')}>
        <td><code>${name}</code></td>${runs.map(({ runId, document }) => html`<td key=${runId}>${shown(document.hyperparams.settings?.[name])}</td>`)}
      </tr>`)}</tbody>
    </table></div>
  <//>`;
}

const TONES = { finished: 'good', complete: 'good', pruned: 'warn', failed: 'bad' };

/** The study that the run belongs to: its best trial, then all of them. */
export function Tuning({ tuning }) {
  if (!tuning) return null;
  const trials = [...tuning.trials].sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
  return html`<${Panel} title=${t('training.tuning', { objective: tuning.objective })}>
    ${tuning.best && html`<p><${Pill} tone="good">${t('training.best', { number: tuning.best.number, value: compact(tuning.best.value) })}<//></p>`}
    <div class="scroll tall" tabindex="0" role="region" aria-label=${t('training.trials')}><table>
      <thead><tr><th>#</th><th>${t('training.phase')}</th><th>${t('training.state')}</th><th class="end">${tuning.objective}</th><th>${t('training.settings')}</th></tr></thead>
      <tbody>${trials.map((trial) => html`<tr key=${`${trial.phase}${trial.number}`}>
        <td>${trial.number}</td><td>${trial.phase}</td><td><${Pill} tone=${TONES[trial.state] || 'calm'}>${trial.state}<//></td>
        <td class="end">${compact(trial.value)}</td>
        <td class="small">${Object.entries(trial.settings || {}).map(([name, value]) => `${name.split('.').at(-1)} ${shown(value)}`).join(' · ')}</td>
      </tr>`)}</tbody>
    </table></div>
  <//>`;
}
