import { classes, html } from '../html.js';

/** A figure with its name. @param {{ label: string, value: any, hint?: string, tone?: 'good'|'warn'|'' }} properties */
export function Stat({ label, value, hint, tone = '' }) {
  return html`<div class=${classes('stat', tone)}>
    <dt>${label}</dt>
    <dd>${value}</dd>
    ${hint && html`<dd class="hint">${hint}</dd>`}
  </div>`;
}

/** @param {{ children: any, label: string }} properties */
export const Stats = ({ children, label }) => html`<dl class="stats" aria-label=${label}>${children}</dl>`;

/** A labelled bar between 0 and 1. @param {{ label: any, share: number, text: string, place?: number }} properties */
export function Bar({ label, share, text, place = 1 }) {
  const width = `${Math.max(0, Math.min(1, share || 0)) * 100}%`;
  return html`<div class="bar">
    <span class="bar-label clip">${label}</span>
    <span class="bar-track"><span style=${{ width, background: `var(--series-${place})` }} /></span>
    <span class="bar-text">${text}</span>
  </div>`;
}

/** A state in a word. @param {{ tone: 'good'|'warn'|'bad'|'calm', children: any }} properties */
export const Pill = ({ tone, children }) => html`<span class="pill ${tone}">${children}</span>`;

/** A titled part of a view. @param {{ title: string, actions?: any, children: any, className?: string }} properties */
export function Panel({ title, actions, children, className }) {
  return html`<section class=${classes('panel', className)}>
    <header class="panel-head"><h2>${title}</h2>${actions && html`<div class="row">${actions}</div>`}</header>
    ${children}
  </section>`;
}
