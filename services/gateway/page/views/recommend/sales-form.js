import { html, useState } from '../../html.js';
import { number, t } from '../../i18n/index.js';

/** Rows of `item_id,units`; a first line without a number is a heading. @param {string} text */
export function readSales(text) {
  const lines = text.split(/\r?\n/).map((line) => line.split(/[,;\t]/).map((cell) => cell.trim())).filter((cells) => cells[0]);
  const isHeading = lines.length > 0 && !Number.isFinite(Number(lines[0][1]));
  const rows = (isHeading ? lines.slice(1) : lines).map(([item_id, units]) => ({ item_id, units: Number(units) }));
  const place = rows.findIndex(({ units }) => !Number.isFinite(units) || units < 0);
  return { rows, wrongLine: place < 0 ? 0 : place + 1 + Number(isHeading) };
}

/** The shop's sales, pasted; without them the tenth nearest to the mean stands in. */
export function SalesForm({ rows, onRows }) {
  const [text, setText] = useState(rows.map(({ item_id, units }) => `${item_id},${units}`).join('\n'));
  const read = readSales(text);
  const submit = (event) => {
    event.preventDefault();
    if (!read.wrongLine) onRows(read.rows);
  };
  return html`<form onSubmit=${submit}>
    <label for="sales" class="strong">${t('bestsellers.sales')}</label>
    <p class="muted small" id="sales-hint">${rows.length ? t('bestsellers.sales_used', { count: number(rows.length) }) : t('bestsellers.sales_hint')}</p>
    <textarea id="sales" rows="5" aria-describedby="sales-hint" placeholder="tee-1,120" value=${text} aria-invalid=${read.wrongLine ? 'true' : undefined} onInput=${(event) => setText(event.target.value)} />
    ${read.wrongLine > 0 && html`<p class="small bad" role="alert">${t('bestsellers.wrong_line', { line: read.wrongLine })}</p>`}
    <button type="submit" disabled=${read.wrongLine > 0}>${t(read.rows.length ? 'bestsellers.use_sales' : 'bestsellers.use_proxy')}</button>
  </form>`;
}
