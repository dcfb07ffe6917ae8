import { html } from '../html.js';
import { t } from '../i18n/index.js';
import { AttributeForm } from './attribute-form.js';

/** @typedef {{ any_of?: Record<string, string[]>, in_stock?: boolean, released_after?: string }} Filter */

/** How many conditions a filter holds. @param {Filter} filter */
export const conditionCount = (filter) =>
  Object.keys(filter.any_of || {}).length + Number(Boolean(filter.in_stock)) + Number(Boolean(filter.released_after));

/** The filter as the API takes it: undefined without conditions. @param {Filter} filter */
export const asked = (filter) => (conditionCount(filter) ? filter : undefined);

/** What results must satisfy, folded away until it is needed. @param {{ filter: Filter, onChange: (filter: Filter) => void, idPrefix: string }} properties */
export function FilterPanel({ filter, onChange, idPrefix }) {
  const count = conditionCount(filter);
  const set = (name, value) => {
    const next = { ...filter, [name]: value };
    if (!value || (typeof value === 'object' && !Object.keys(value).length)) delete next[name];
    onChange(next);
  };
  const onDate = (event) => set('released_after', event.target.value && `${event.target.value}T00:00:00Z`);
  return html`<details class="fold">
    <summary>${t('filter.title')}${count > 0 && html` <span class="badge">${count}</span>`}</summary>
    <label class="check"><input type="checkbox" role="switch" checked=${Boolean(filter.in_stock)} onChange=${(event) => set('in_stock', event.target.checked)} />${t('filter.in_stock')}</label>
    <label>${t('filter.released_after')}
      <input type="date" value=${filter.released_after?.slice(0, 10) || ''} onChange=${onDate} />
    </label>
    <${AttributeForm} idPrefix=${`${idPrefix}-filter`} allowsMany value=${filter.any_of || {}} onChange=${(words) => set('any_of', words)} />
    ${count > 0 && html`<button type="button" class="quiet" onClick=${() => onChange({})}>${t('filter.clear')}</button>`}
  </details>`;
}
