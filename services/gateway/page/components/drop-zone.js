import { classes, html, useRef, useState } from '../html.js';
import { t } from '../i18n/index.js';
import { Icon } from './icons.js';

const ACCEPTED = 'image/jpeg,image/png,image/webp';

/**
 * Takes pictures by drop, by click and by keyboard.
 * @param {{ label: string, hint?: string, isMultiple?: boolean, isSmall?: boolean, onFiles: (files: File[]) => void }} properties
 */
export function DropZone({ label, hint, isMultiple, isSmall, onFiles }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [isOver, setOver] = useState(false);
  const take = (list) => {
    const files = [...list].slice(0, isMultiple ? undefined : 1);
    if (files.length) onFiles(files);
  };
  const onDrop = (event) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files);
  };
  const onDrag = (event) => {
    event.preventDefault();
    setOver(event.type !== 'dragleave');
  };
  const onChange = (event) => {
    take(event.target.files);
    event.target.value = '';
  };
  return html`<div class="drop">
    <button
      type="button"
      class=${classes('drop-target', isOver && 'over', isSmall && 'small')}
      onClick=${() => input.current.click()}
      onDrop=${onDrop} onDragOver=${onDrag} onDragEnter=${onDrag} onDragLeave=${onDrag}
    >
      <${Icon} name="upload" />
      <span class="strong">${label}</span>
      <span class="muted small">${hint || t('drop.hint')}</span>
    </button>
    <input ref=${input} type="file" hidden accept=${ACCEPTED} multiple=${Boolean(isMultiple)} onChange=${onChange} aria-label=${label} />
  </div>`;
}
