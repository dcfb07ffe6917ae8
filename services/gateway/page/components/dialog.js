import { html, useEffect, useRef } from '../html.js';
import { t } from '../i18n/index.js';
import { Icon } from './icons.js';

/**
 * A modal dialog; Escape, the backdrop and the cross close it, focus returns to where it was.
 * @param {{ title: string, onClose: () => void, isWide?: boolean, children: any }} properties
 */
export function Dialog({ title, onClose, isWide, children }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const opener = document.activeElement;
    element.current.showModal();
    return () => opener instanceof HTMLElement && opener.focus();
  }, []);
  const onBackdrop = (event) => event.target === element.current && onClose();
  const onCancel = (event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${element} class=${isWide ? 'wide' : ''} aria-label=${title} onClick=${onBackdrop} onCancel=${onCancel}>
    <article>
      <header>
        <h2>${title}</h2>
        <button type="button" class="icon-button" aria-label=${t('action.close')} onClick=${onClose}><${Icon} name="close" /></button>
      </header>
      ${children}
    </article>
  </dialog>`;
}
