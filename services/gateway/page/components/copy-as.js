import { classes, html, useState } from '../html.js';
import { t } from '../i18n/index.js';
import { showDone } from '../state/toasts.js';
import { Dialog } from './dialog.js';
import { Icon } from './icons.js';

/** @typedef {{ grpcurl: string, python: string, curl: string }} Snippets  '' where there is no such command */
const KINDS = ['curl', 'python', 'grpcurl'];

/** Shows what the view asks as a command to run elsewhere. @param {{ snippets: () => Snippets }} properties */
export function CopyAs({ snippets }) {
  const [isOpen, setOpen] = useState(false);
  return html`<button type="button" class="quiet" onClick=${() => setOpen(true)}><${Icon} name="code" />${t('copy.open')}</button>
    ${isOpen && html`<${CopyDialog} snippets=${snippets()} onClose=${() => setOpen(false)} />`}`;
}

function CopyDialog({ snippets, onClose }) {
  const [kind, setKind] = useState('curl');
  const text = snippets[kind];
  return html`<${Dialog} title=${t('copy.title')} isWide onClose=${onClose}>
    <div class="segments" role="tablist" aria-label=${t('copy.title')}>
      ${KINDS.map((name) => html`<button key=${name} type="button" role="tab" aria-selected=${name === kind} class=${classes(name === kind && 'on')} onClick=${() => setKind(name)}>${t(`copy.${name}`)}</button>`)}
    </div>
    ${text ? html`<pre tabindex="0" class="snippet" data-kind=${kind}><code>${text}</code></pre>` : html`<p class="muted">${t('copy.http_only')}</p>`}
    <footer class="row end">
      <button type="button" disabled=${!text} onClick=${() => copy(text)}><${Icon} name="copy" />${t('action.copy')}</button>
    </footer>
  <//>`;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    selectAndCopy(text); // no clipboard outside of https and localhost
  }
  showDone(t('copy.done'));
}

function selectAndCopy(text) {
  const area = document.createElement('textarea');
  area.value = text;
  (document.querySelector('dialog[open]') || document.body).append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}
