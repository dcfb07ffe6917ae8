import { html, useEffect, useRef } from '../html.js';
import { clock, compact, date, language, moment } from '../i18n/index.js';
import { shownTheme } from '../state/settings.js';

/** @typedef {{ label: string, values: (number|null)[], isDashed?: boolean }} Series */

const SERIES_COLOURS = 8;
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * Curves over one axis, drawn by uPlot, which is loaded with the first chart.
 * @param {{ title: string, x: number[], xLabel: string, series: Series[], isTime?: boolean, leastSpan?: number, height?: number }} properties
 *   x: seconds since 1970 where isTime. leastSpan: of the axis; a shorter curve stands at its end
 */
export function Chart({ title, x, xLabel, series, isTime = false, leastSpan = 0, height = 220 }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const look = shownTheme.use();
  const shape = JSON.stringify([series.map((each) => [each.label, each.isDashed]), isTime, height, look, language.use()]);

  useEffect(() => {
    let isGone = false;
    let observer = null;
    const place = element.current;
    import('../vendor/uplot.js').then(({ default: UPlot }) => {
      if (isGone) return;
      const size = () => ({ width: Math.max(160, place.clientWidth), height });
      const options = { ...size(), ...appearance(series, xLabel, isTime, leastSpan) };
      plot.current = new UPlot(options, [x, ...series.map((each) => each.values)], place);
      observer = new ResizeObserver(() => plot.current?.setSize(size()));
      observer.observe(place);
    });
    return () => {
      isGone = true;
      observer?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData([x, ...series.map((each) => each.values)]);
  }, [x, series]);

  return html`<figure class="chart" aria-label=${summary(title, series)}>
    <figcaption>${title}</figcaption>
    <div ref=${element} />
  </figure>`;
}

function appearance(series, xLabel, isTime, leastSpan) {
  const range = (plot, min, max) => {
    const [x] = plot.data;
    const end = x.length === 1 ? x[0] : max; // of a lone point uPlot makes an axis of years
    return min === null ? [0, 1] : [Math.min(min, end - leastSpan), end];
  };
  const axis = { stroke: variable('--muted'), grid: { stroke: variable('--line'), width: 1 }, ticks: { stroke: variable('--line'), width: 1 }, font: '12px Inter, system-ui, sans-serif' };
  const label = isTime ? instant : compact;
  return {
    hooks: { setCursor: [markHover] },
    cursor: { points: { size: 6 }, drag: { x: true, y: false } },
    scales: { x: leastSpan ? { time: isTime, range } : { time: isTime } },
    axes: [isTime ? { ...axis, space: 80, values: (_, splits, __, ___, step) => splits.map((at) => tick(at, step)) } : axis, { ...axis, size: 58, values: (_, splits) => splits.map((each) => (each === null ? '' : compact(each))) }],
    series: [{ label: xLabel, value: (_, value) => (value === null ? '–' : label(value)) }, ...series.map(curve)],
  };
}

const DAY_S = 86_400;
const tick = (at, step) => (step >= DAY_S ? date(at * 1000) : clock(at * 1000));
const instant = (at) => moment(at * 1000);

/** Values stand in the legend only under the pointer. */
function markHover(plot) {
  plot.root.classList.toggle('hovering', plot.cursor.idx !== null && plot.cursor.idx !== undefined);
}

function curve({ label, isDashed }, place) {
  const colour = variable(`--series-${(place % SERIES_COLOURS) + 1}`);
  return {
    label,
    stroke: colour,
    width: 2,
    dash: isDashed ? [6, 4] : undefined,
    spanGaps: true,
    points: { size: 4 },
    value: (_, value) => (value === null || value === undefined ? '–' : compact(value)),
  };
}

/** What the picture says, for those who do not see it: the last value of each curve. */
function summary(title, series) {
  const last = series.map((each) => `${each.label} ${compact(each.values.findLast((value) => value !== null && value !== undefined))}`);
  return `${title}: ${last.join(', ')}`;
}
