import { html } from '../html.js';
import { t } from '../i18n/index.js';
import { fieldLabel, listed, vocabulary, wordLabel } from '../state/vocabulary.js';
import { Icon } from './icons.js';

/**
 * A record of attributes, built from the vocabulary of the lead: a choice a field, chips for what is chosen.
 * Fields that the vocabulary does not know are shown as text and kept.
 * @param {{ value: Record<string, any>, onChange: (value: Record<string, any>) => void, allowsMany?: boolean, idPrefix: string }} properties
 *   allowsMany: several words in every field (a filter), not only in those that are lists
 */
export function AttributeForm({ value, onChange, allowsMany, idPrefix }) {
  const { fields } = vocabulary.use();
  const set = (name, words, isList) => {
    const next = { ...value };
    if (!words.length) delete next[name];
    else next[name] = isList ? words : words[0];
    onChange(next);
  };
  const unknown = Object.keys(value).filter((name) => !fields.some((field) => field.name === name));
  return html`<div class="attribute-form">
    ${!fields.length && html`<p class="muted small">${t('attributes.none')}</p>`}
    ${fields.map((field) => {
      const isList = field.is_list || Boolean(allowsMany);
      return html`<${FieldChoice} key=${field.name} field=${field} words=${listed(value[field.name])} isList=${isList} id=${`${idPrefix}-${field.name}`} onChange=${(words) => set(field.name, words, isList)} />`;
    })}
    ${unknown.map((name) => html`<${Chips} key=${name} field=${name} words=${listed(value[name])} onRemove=${() => set(name, [], false)} />`)}
  </div>`;
}

function FieldChoice({ field, words, isList, id, onChange }) {
  const choose = (event) => {
    const word = event.target.value;
    event.target.value = isList ? '' : word;
    if (!isList) onChange(word ? [word] : []);
    else if (word && !words.includes(word)) onChange([...words, word]);
  };
  const sorted = [...field.words].sort((a, b) => wordLabel(field.name, a.word).localeCompare(wordLabel(field.name, b.word)));
  return html`<div class="field">
    <label for=${id}>${fieldLabel(field.name)}</label>
    <select id=${id} value=${isList ? '' : (words[0] ?? '')} onChange=${choose}>
      <option value="">${isList && words.length ? t('attributes.add') : t('attributes.any')}</option>
      ${sorted.map(({ word }) => html`<option key=${word} value=${word}>${wordLabel(field.name, word)}</option>`)}
    </select>
    ${isList && words.length > 0 && html`<${Chips} field=${field.name} words=${words} onRemove=${(word) => onChange(words.filter((other) => other !== word))} isBare />`}
  </div>`;
}

/** Words that can be taken away again. */
export function Chips({ field, words, onRemove, isBare }) {
  return html`<ul class="chips">
    ${words.map((word) => {
      const label = wordLabel(field, word);
      return html`<li key=${String(word)} class="chip">
        ${!isBare && html`<span class="muted">${fieldLabel(field)}</span>`} ${label}
        <button type="button" aria-label=${t('action.remove', { name: label })} onClick=${() => onRemove(word)}><${Icon} name="close" /></button>
      </li>`;
    })}
  </ul>`;
}
