// The frame around the views: navigation, settings, services that are down, messages.
import { html, render, useEffect, useState } from './html.js';
import { language, t } from './i18n/index.js';
import { Failure, Skeleton } from './components/states.js';
import { ServiceBanner } from './components/service-banner.js';
import { ToastStack } from './components/toast-stack.js';
import { TokenDialog, askForToken } from './components/token-dialog.js';
import { TopBar } from './components/top-bar.js';
import { addressOf, route } from './state/route.js';
import { askNow, connection } from './state/services.js';
import { showError } from './state/toasts.js';
import { vocabulary } from './state/vocabulary.js';
import { VIEWS } from './views/index.js';

function App() {
  language.use();
  vocabulary.use();
  const { view: name } = route.use();
  const view = VIEWS.find((each) => each.name === name) || VIEWS[0];
  useTokenPrompt();
  useEffect(() => {
    document.title = `${t(`nav.${view.name}`)} · Atelier`;
  });
  return html`<div class="app">
    <a class="skip" href=${addressOf(view.name)} onClick=${skip}>${t('nav.skip')}</a>
    <${TopBar} views=${VIEWS} current=${view.name} />
    <${ServiceBanner} />
    <main id="main" tabindex="-1"><${View} key=${view.name} view=${view} /></main>
    <${ToastStack} />
    <${TokenDialog} />
  </div>`;
}

/** To the content, without leaving the view. */
function skip(event) {
  event.preventDefault();
  document.getElementById('main').focus();
}

/** A view is fetched when it is first opened. */
function View({ view }) {
  const [state, setState] = useState({ component: null, error: null });
  useEffect(() => {
    view.load().then((component) => setState({ component, error: null }), (error) => setState({ component: null, error }));
  }, [view]);
  if (state.error) return html`<${Failure} error=${{ title: t('state.no_view'), message: state.error.message, violations: [] }} reload=${() => location.reload()} />`;
  return state.component ? html`<${state.component} />` : html`<${Skeleton} kind="cards" count=${6} />`;
}

/** Asks for a token once where nothing can be read without it. */
function useTokenPrompt() {
  const { needsToken } = connection.use();
  useEffect(() => {
    if (needsToken) askForToken().then((given) => given && askNow());
  }, [needsToken]);
}

addEventListener('unhandledrejection', (event) => showError(event.reason));
askNow();
render(html`<${App} />`, document.getElementById('app'));
