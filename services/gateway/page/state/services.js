// Which services answer: polled slowly while all is well, with backoff while something is down.
import { api } from '../api.js';
import { signal } from './signal.js';
import { collection, token } from './settings.js';

/** @typedef {{ name: string, address: string, state: 'serving'|'not_serving'|'unreachable', detail: string, models: any[] }} Service */
/** @typedef {{ isKnown: boolean, gatewayDown: boolean, needsToken: boolean, services: Service[], limits: any, collections: string[] }} Connection */

export const connection = signal(
  /** @type {Connection} */ ({ isKnown: false, gatewayDown: false, needsToken: false, services: [], limits: {}, collections: [] }),
);

/** Counts how often something that was down came back: what failed is then fetched again at once. */
export const recoveries = signal(0);

const CALM_MS = 5000;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 4000;
let failures = 0;
let timer = 0;
let turn = 0;

/** Names of what does not serve. @param {Connection} state */
export const missing = (state) =>
  state.gatewayDown ? ['gateway'] : state.services.filter((each) => each.state !== 'serving').map((each) => each.name);

/** gRPC address of a service. @param {string} name */
export const addressOf = (name) =>
  connection.get().services.find((each) => each.name === name)?.address ||
  { embedder: '127.0.0.1:50051', ranker: '127.0.0.1:50052' }[name] ||
  '127.0.0.1:50053';

async function poll() {
  const mine = (turn += 1);
  const before = missing(connection.get());
  const next = await ask();
  if (mine !== turn) return; // a later question overtook this one
  const now = missing(next);
  connection.set(next);
  chooseCollection(next.collections);
  if (before.some((name) => !now.includes(name))) recoveries.set((count) => count + 1);
  failures = now.length ? failures + 1 : 0;
  const wait = failures ? Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1)) : CALM_MS;
  timer = setTimeout(poll, document.hidden ? Math.max(wait, CALM_MS) : wait);
}

/** The first collection instead of one that this gateway does not have. @param {string[]} names */
function chooseCollection(names) {
  if (names.length && !names.includes(collection.get())) collection.set(names[0]);
}

/** @returns {Promise<Connection>} */
async function ask() {
  const last = connection.get();
  try {
    const answer = await api.services();
    const services = answer.services;
    return {
      isKnown: true,
      gatewayDown: false,
      needsToken: false,
      services,
      limits: answer.limits || {},
      collections: answer.collections || last.collections,
    };
  } catch (error) {
    return { ...last, isKnown: true, gatewayDown: error.isTransient, needsToken: error.needsToken };
  }
}

/** Asks now rather than at the next turn. */
export function askNow() {
  clearTimeout(timer);
  return poll();
}

token.subscribe(() => {
  connection.set((last) => ({ ...last, needsToken: false })); // a wrong one is asked for again
  askNow();
});
document.addEventListener('visibilitychange', () => !document.hidden && askNow());
