import { html, useEffect, useState } from '../../html.js';
import { date, number, t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { AttributeForm } from '../../components/attribute-form.js';
import { Dialog } from '../../components/dialog.js';
import { Icon } from '../../components/icons.js';
import { ItemPicture } from '../../components/picture.js';
import { Loaded } from '../../components/states.js';
import { withToken } from '../../components/token-dialog.js';
import { useResource } from '../../state/resource.js';
import { addressOf } from '../../state/route.js';
import { showDone } from '../../state/toasts.js';
import { titleOf } from '../../state/vocabulary.js';

/** An item in full: its attributes can be edited, the item deleted. */
export function ItemDialog({ itemId, collection, onClose, onChanged }) {
  const resource = useResource((signal) => api.item(itemId, { collection }, signal), [itemId, collection]);
  const done = (title) => {
    showDone(title);
    onChanged();
    onClose();
  };
  return html`<${Dialog} title=${itemId} isWide onClose=${onClose}>
    <${Loaded} resource=${resource}>${(answer) => html`<${Editor} item=${answer.item || answer} collection=${collection} onDone=${done} />`}<//>
  <//>`;
}

function Editor({ item, collection, onDone }) {
  const [attributes, setAttributes] = useState(item.attributes || {});
  const [inStock, setInStock] = useState(item.in_stock !== false);
  useEffect(() => setAttributes(item.attributes || {}), [item]);
  const isSame = JSON.stringify(attributes) === JSON.stringify(item.attributes || {}) && inStock === (item.in_stock !== false);
  const save = async () => {
    const request = { collection, attributes, in_stock: inStock, product_id: item.product_id };
    if (await withToken(() => api.putItem(item.item_id, request, []))) onDone(t('catalog.saved', { name: item.item_id }));
  };
  return html`<div class="item-editor">
    <div class="stack">
      <${ItemPicture} item=${item} size=${768} />
      <dl class="facts">
        <div><dt>${t('catalog.released')}</dt><dd>${date(item.released_at)}</dd></div>
        <div><dt>${t('catalog.revision')}</dt><dd>${number(item.revision)}</dd></div>
        ${item.product_id && html`<div><dt>${t('catalog.product')}</dt><dd>${item.product_id}</dd></div>`}
      </dl>
      <a role="button" class="quiet" href=${addressOf('recommend', { item: item.item_id })}><${Icon} name="recommend" />${t('card.more_like_this')}</a>
    </div>
    <div class="stack">
      <h3>${titleOf(item)}</h3>
      <label class="check"><input type="checkbox" role="switch" checked=${inStock} onChange=${(event) => setInStock(event.target.checked)} />${t('catalog.in_stock')}</label>
      <${AttributeForm} idPrefix="edit" value=${attributes} onChange=${setAttributes} />
      <footer class="row between">
        <${DeleteButton} item=${item} collection=${collection} onDone=${onDone} />
        <button type="button" disabled=${isSame} onClick=${save}>${t('action.save')}</button>
      </footer>
    </div>
  </div>`;
}

function DeleteButton({ item, collection, onDone }) {
  const [isAsked, setAsked] = useState(false);
  const remove = async () => {
    const answer = await withToken(async () => ({ reply: await api.deleteItem(item.item_id, { collection }) }));
    if (answer) onDone(t('catalog.deleted', { name: item.item_id }));
  };
  if (!isAsked) return html`<button type="button" class="quiet danger" onClick=${() => setAsked(true)}><${Icon} name="trash" />${t('action.delete')}</button>`;
  return html`<button type="button" class="danger" onClick=${remove}><${Icon} name="trash" />${t('catalog.confirm_delete')}</button>`;
}
