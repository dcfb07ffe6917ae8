import { classes, html, useEffect, useState } from '../html.js';
import { fetchPicture, resized } from '../api.js';
import { token } from '../state/settings.js';
import { Icon } from './icons.js';

/** The address that an `<img>` can load: the one given or, where a token is needed, a copy in memory. */
export function usePicture(address) {
  const secret = token.use();
  const [copy, setCopy] = useState('');
  useEffect(() => {
    if (!secret || !address || address.startsWith('blob:')) return undefined;
    const abort = new AbortController();
    let made = '';
    fetchPicture(address, abort.signal).then(
      (blob) => setCopy((made = URL.createObjectURL(blob))),
      () => setCopy(''), // shown as a missing picture
    );
    return () => {
      abort.abort();
      if (made) URL.revokeObjectURL(made);
    };
  }, [address, secret]);
  return secret && !address?.startsWith('blob:') ? copy : address;
}

/** A picture by address, with a quiet placeholder while it is missing. @param {{ address: string, alt: string, className?: string }} properties */
export function Picture({ address, alt, className }) {
  const source = usePicture(address);
  const [failed, setFailed] = useState('');
  if (!source || failed === source) {
    return html`<span class=${classes('picture missing', className)} role="img" aria-label=${alt}><${Icon} name="picture" /></span>`;
  }
  return html`<img class=${classes('picture', className)} src=${source} alt=${alt} loading="lazy" decoding="async" onError=${() => setFailed(source)} />`;
}

/** The picture of a catalog item. @param {{ item: any, size?: number, alt?: string }} properties */
export function ItemPicture({ item, size = 384, alt = '' }) {
  return html`<${Picture} address=${resized(item.picture_url, size)} alt=${alt || item.item_id} />`;
}

/** An object URL of a file, released with the component. @param {File | null} file */
export function useObjectUrl(file) {
  const [address, setAddress] = useState('');
  useEffect(() => {
    if (!file) return setAddress('');
    const made = URL.createObjectURL(file);
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return address;
}
