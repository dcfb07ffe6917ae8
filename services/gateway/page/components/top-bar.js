import { classes, html } from '../html.js';
import { language, t } from '../i18n/index.js';
import { addressOf } from '../state/route.js';
import { connection, missing } from '../state/services.js';
import { collection, theme, token } from '../state/settings.js';
import { Icon } from './icons.js';
import { askForToken } from './token-dialog.js';

const THEMES = ['auto', 'light', 'dark'];
const THEME_ICONS = { auto: 'auto', light: 'sun', dark: 'moon' };

/** Brand, views and settings. @param {{ views: { name: string }[], current: string }} properties */
export function TopBar({ views, current }) {
  return html`<header class="top">
    <a class="brand" href=${addressOf('overview')}><img src="/page/icon.svg" alt="" width="28" height="28" /><span>Atelier</span></a>
    <nav class="views" aria-label=${t('nav.views')}>
      ${views.map(({ name }) => html`<a key=${name} href=${addressOf(name)} aria-current=${name === current ? 'page' : undefined} class=${classes(name === current && 'on')}><${Icon} name=${name} /><span>${t(`nav.${name}`)}</span></a>`)}
    </nav>
    <div class="tools">
      <${CollectionChoice} />
      <${Health} />
      <button type="button" class="icon-button text" lang=${language.get() === 'ko' ? 'en' : 'ko'} aria-label=${t('nav.language')} title=${t('nav.language')} onClick=${() => language.set(language.get() === 'ko' ? 'en' : 'ko')}>${language.get() === 'ko' ? 'EN' : '한'}</button>
      <${ThemeButton} />
      <button type="button" class=${classes('icon-button', token.use() && 'on')} aria-label=${t('nav.token')} title=${t('nav.token')} onClick=${() => askForToken()}><${Icon} name="key" /></button>
    </div>
  </header>`;
}

function ThemeButton() {
  const chosen = theme.use();
  const label = t('nav.theme', { name: t(`theme.${chosen}`) });
  const next = () => theme.set(THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length]);
  return html`<button type="button" class="icon-button" data-role="theme" aria-label=${label} title=${label} onClick=${next}><${Icon} name=${THEME_ICONS[chosen] || 'auto'} /></button>`;
}

function CollectionChoice() {
  const { collections } = connection.use();
  const chosen = collection.use();
  if (collections.length < 2) return null;
  return html`<select class="collection" aria-label=${t('nav.collection')} value=${chosen} onChange=${(event) => collection.set(event.target.value)}>
    ${collections.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
  </select>`;
}

function Health() {
  const state = connection.use();
  const down = missing(state);
  const tone = !state.isKnown ? 'calm' : down.length ? 'bad' : 'good';
  const label = !state.isKnown ? t('state.loading') : down.length ? t('nav.down', { names: down.join(', ') }) : t('nav.up');
  return html`<span class="health ${tone}" role="img" aria-label=${label} title=${label} />`;
}
