// Line icons of 24 units, drawn for this page; decorative, so hidden from screen readers.
import { html } from '../html.js';

const PATHS = {
  overview: 'M4 4h7v7H4zM13 4h7v4h-7zM13 11h7v9h-7zM4 14h7v6H4z',
  recommend: 'M12 3l1.900 5.600L19.500 10.500l-5.600 1.900L12 18l-1.900-5.600L4.500 10.500l5.600-1.900zM19 16l.8 2.200L22 19l-2.200.8L19 22l-.8-2.200L16 19l2.200-.8z',
  rank: 'M4 20v-6h5v6M9.500 20V5h5v15M15 20v-9h5v9M3 20h18',
  training: 'M4 4v16h16M7 15l4-5 3 3 5-7',
  catalog: 'M3 11l8-8h8a2 2 0 0 1 2 2v8l-8 8zM16 8h.01',
  heart: 'M12 20s-7.500-4.600-7.500-10A4.300 4.300 0 0 1 12 7.400 4.300 4.300 0 0 1 19.500 10c0 5.400-7.500 10-7.500 10z',
  dislike: 'M5 5l14 14M9 5.700A4.300 4.300 0 0 1 12 7.400 4.300 4.300 0 0 1 19.500 10c0 1.800-.8 3.500-1.900 5M15 17.700c-1.600 1.500-3 2.300-3 2.300s-7.500-4.600-7.500-10c0-.8.2-1.600.6-2.300',
  similar: 'M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM20 20l-4.800-4.800',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2.500M12 19.500V22M2 12h2.500M19.500 12H22M5 5l1.700 1.700M17.300 17.300L19 19M5 19l1.700-1.700M17.300 6.700L19 5',
  moon: 'M20 14.500A8.500 8.500 0 1 1 9.500 4a7 7 0 0 0 10.500 10.500z',
  auto: 'M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18',
  key: 'M8 19a4.500 4.500 0 1 1 3.900-6.700H21v3.400h-2.500V18H15v-2.300h-3.100A4.500 4.500 0 0 1 8 19z',
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  upload: 'M12 16V4M7 9l5-5 5 5M4 16v4h16v-4',
  trash: 'M4 7h16M9 7V4h6v3M6.500 7l1 13h9l1-13M10 11v5M14 11v5',
  plus: 'M12 5v14M5 12h14',
  check: 'M5 12.500l4.500 4.500L19 7.500',
  alert: 'M12 4L2.500 20h19zM12 10v4.500M12 17.500h.01',
  back: 'M15 5l-7 7 7 7',
  next: 'M9 5l7 7-7 7',
  picture: 'M4 5h16v14H4zM4 16l5-5 4 4 2-2 5 5M15 9h.01',
  code: 'M8 7l-5 5 5 5M16 7l5 5-5 5',
};

/** @param {{ name: keyof typeof PATHS }} properties */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
}
