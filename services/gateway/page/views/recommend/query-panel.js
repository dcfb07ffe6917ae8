import { classes, html, useState } from '../../html.js';
import { t } from '../../i18n/index.js';
import { resized } from '../../api.js';
import { AttributeForm } from '../../components/attribute-form.js';
import { DropZone } from '../../components/drop-zone.js';
import { FilterPanel } from '../../components/filter-panel.js';
import { Icon } from '../../components/icons.js';
import { Picture, useObjectUrl } from '../../components/picture.js';
import { go } from '../../state/route.js';
import { useItem } from '../../state/item.js';
import { titleOf } from '../../state/vocabulary.js';
import { change, nameOf, startOver } from './query.js';

const SOURCES = ['picture', 'attributes'];

/** What is looked for, and what results must satisfy. @param {{ state: import('./query.js').Query }} properties */
export function QueryPanel({ state }) {
  const { subject } = state;
  const [source, setSource] = useState(subject.kind === 'attributes' ? 'attributes' : 'picture');
  const reset = () => {
    startOver();
    go('recommend');
  };
  const setAttributes = (attributes) => {
    go('recommend');
    change({ subject: Object.keys(attributes).length ? { kind: 'attributes', attributes } : { kind: 'none' } });
  };
  const setPicture = ([file]) => {
    go('recommend');
    change({ subject: { kind: 'picture', file } });
  };
  return html`<aside class="side panel" aria-label=${t('recommend.query')}>
    <${Subject} subject=${subject} />
    <div class="segments wide" role="group" aria-label=${t('recommend.source')}>
      ${SOURCES.map((each) => html`<button key=${each} type="button" aria-pressed=${each === source} class=${classes(each === source && 'on')} onClick=${() => setSource(each)}>${t(`recommend.by_${each}`)}</button>`)}
    </div>
    ${source === 'picture'
      ? html`<${DropZone} isSmall label=${t('recommend.drop')} onFiles=${setPicture} />`
      : html`<${AttributeForm} idPrefix="query" value=${subject.kind === 'attributes' ? subject.attributes : {}} onChange=${setAttributes} />`}
    <${Judged} title=${t('recommend.liked')} icon="heart" ids=${state.liked} onRemove=${(id) => change({ liked: state.liked.filter((other) => other !== id) })} />
    <${Judged} title=${t('recommend.disliked')} icon="dislike" ids=${state.disliked} onRemove=${(id) => change({ disliked: state.disliked.filter((other) => other !== id) })} />
    <${Options} state=${state} />
    <${FilterPanel} idPrefix="recommend" filter=${state.filter} onChange=${(filter) => change({ filter })} />
    <button type="button" class="quiet" onClick=${reset}>${t('recommend.start_over')}</button>
  </aside>`;
}

function Subject({ subject }) {
  const own = useObjectUrl(subject.kind === 'picture' ? subject.file : null);
  const item = useItem(subject.kind === 'item' ? subject.itemId : '');
  if (subject.kind === 'none') return null;
  const address = subject.kind === 'item' ? resized(item?.picture_url, 384) : own;
  const title = subject.kind === 'item' && item ? titleOf(item) : nameOf(subject);
  return html`<figure class="subject" data-subject=${subject.kind}>
    ${subject.kind !== 'attributes' && html`<${Picture} address=${address} alt=${nameOf(subject)} />`}
    <figcaption><span class="muted small">${t(`recommend.subject_${subject.kind}`)}</span><span class="strong clip">${title}</span></figcaption>
  </figure>`;
}

function Judged({ title, icon, ids, onRemove }) {
  if (!ids.length) return null;
  return html`<div class="judged"><p class="small strong"><${Icon} name=${icon} />${title}</p>
    <ul class="chips">${ids.map((id) => html`<li key=${id} class="chip">${id}<button type="button" aria-label=${t('action.remove', { name: id })} onClick=${() => onRemove(id)}><${Icon} name="close" /></button></li>`)}</ul>
  </div>`;
}

function Options({ state }) {
  return html`<div class="options">
    <label class="check"><input type="checkbox" role="switch" checked=${state.onlyNew} onChange=${(event) => change({ onlyNew: event.target.checked })} />${t('recommend.only_new')}</label>
    <label class="small">${t('recommend.diversity')}
      <input type="range" min="0" max="0.9" step="0.1" value=${state.diversity} onChange=${(event) => change({ diversity: Number(event.target.value) })} />
    </label>
  </div>`;
}
