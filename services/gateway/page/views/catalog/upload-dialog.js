import { html, useState } from '../../html.js';
import { t } from '../../i18n/index.js';
import { api } from '../../api.js';
import { AttributeForm } from '../../components/attribute-form.js';
import { Dialog } from '../../components/dialog.js';
import { DropZone } from '../../components/drop-zone.js';
import { Failure } from '../../components/states.js';
import { Picture, useObjectUrl } from '../../components/picture.js';
import { withToken } from '../../components/token-dialog.js';
import { showDone, showError } from '../../state/toasts.js';
import { fieldOf } from '../../state/vocabulary.js';

const NEIGHBOURS = 5;
const LEAST_SHARE = 0.3;

/**
 * An identifier that a file's name suggests, of what the catalog takes: ASCII letters, digits, `.`, `_`, `:` and `-`.
 * A name without any of them gives one of the time. @param {string} name
 */
export const idFrom = (name) =>
  name.replace(/\.[^.]+$/, '').replace(/[^A-Za-z0-9._:-]+/g, '-').replace(/^[.-]+|[.-]+$/g, '').slice(0, 128) || `item-${Date.now().toString(36)}`;

/** A new item: a picture, an identifier, and attributes that the nearest records suggest. */
export function UploadDialog({ collection, onClose, onChanged }) {
  const [file, setFile] = useState(/** @type {File | null} */ (null));
  const [itemId, setItemId] = useState('');
  const [attributes, setAttributes] = useState({});
  const [failure, setFailure] = useState(null);
  const [isSending, setSending] = useState(false);
  const address = useObjectUrl(file);
  const take = ([picture]) => {
    setFile(picture);
    setFailure(null);
    setItemId((last) => last || idFrom(picture.name));
  };
  const suggest = async () => {
    try {
      setAttributes(recordFrom((await api.search({ collection, item_count: NEIGHBOURS }, [['image', file]])).suggestions || []));
    } catch (error) {
      showError(error);
    }
  };
  const send = async (event) => {
    event.preventDefault();
    setSending(true);
    setFailure(null);
    const answer = await withToken(() => api.putItem(itemId, { collection, attributes }, [['image', file]]).catch((error) => keep(error, setFailure)));
    setSending(false);
    if (!answer) return;
    showDone(t('catalog.saved', { name: itemId }));
    onChanged();
    onClose();
  };
  return html`<${Dialog} title=${t('catalog.upload_title')} isWide onClose=${onClose}>
    <form class="item-editor" onSubmit=${send}>
      <div class="stack">
        ${file && html`<${Picture} address=${address} alt=${file.name} />`}
        <${DropZone} isSmall=${Boolean(file)} label=${t(file ? 'catalog.other_picture' : 'catalog.picture')} onFiles=${take} />
      </div>
      <div class="stack">
        ${failure && html`<${Failure} error=${failure} />`}
        <label>${t('catalog.item_id')}<input required value=${itemId} onInput=${(event) => setItemId(event.target.value)} maxlength="128" autocomplete="off" spellcheck=${false} /></label>
        <button type="button" class="quiet" disabled=${!file} onClick=${suggest}>${t('catalog.suggest')}</button>
        <${AttributeForm} idPrefix="new" value=${attributes} onChange=${setAttributes} />
        <footer class="row end"><button type="submit" aria-busy=${isSending} disabled=${!file || !itemId || isSending}>${t('catalog.add')}</button></footer>
      </div>
    </form>
  <//>`;
}

/** Shows an error in the dialog; one that a token would mend goes on to where that is asked for. */
function keep(error, show) {
  if (error.needsToken) throw error;
  show(error);
  return undefined;
}

/** The likeliest words of each field as a record. */
function recordFrom(suggestions) {
  const record = {};
  for (const { field, value, share } of suggestions.filter((each) => each.share >= LEAST_SHARE)) {
    if (fieldOf(field)?.is_list) record[field] = [...(record[field] || []), value];
    else record[field] ??= value;
  }
  return record;
}
