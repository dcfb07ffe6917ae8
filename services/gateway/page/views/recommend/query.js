// What is looked for: kept while the person visits other views, and in the address where it can be written down.
import { asked } from '../../components/filter-panel.js';
import { PictureFile, curl, grpcurl, python } from '../../components/snippets.js';
import { t } from '../../i18n/index.js';
import { pairs, wordLabel } from '../../state/vocabulary.js';
import { signal } from '../../state/signal.js';

/**
 * @typedef {{ kind: 'none' } | { kind: 'picture', file: File } | { kind: 'item', itemId: string }
 *   | { kind: 'attributes', attributes: Record<string, any> }} Subject
 * @typedef {{ subject: Subject, liked: string[], disliked: string[], filter: object, onlyNew: boolean, diversity: number, itemCount: number }} Query
 */

const EMPTY = { subject: { kind: 'none' }, liked: [], disliked: [], filter: {}, onlyNew: false, diversity: 0, itemCount: 24 };

export const query = signal(/** @type {Query} */ (EMPTY));

/** @param {Partial<Query>} part */
export const change = (part) => query.set((last) => ({ ...last, ...part }));

export const startOver = () => query.set(EMPTY);

/** Likes or dislikes an item, or takes that back. @param {string} itemId @param {'liked'|'disliked'} verdict @returns {boolean} whether it holds now */
export function judge(itemId, verdict) {
  const last = query.get();
  const holds = !last[verdict].includes(itemId);
  const without = (ids) => ids.filter((id) => id !== itemId);
  const next = { liked: without(last.liked), disliked: without(last.disliked) };
  if (holds) next[verdict] = [...next[verdict], itemId];
  change(next);
  return holds;
}

/** @param {Query} state @param {string} itemId */
export const verdictOn = ({ liked, disliked }, itemId) =>
  liked.includes(itemId) ? 'liked' : disliked.includes(itemId) ? 'disliked' : '';

/** Whether there is something to look for. @param {Query} state */
export const isAsked = ({ subject, liked }) =>
  liked.length > 0 || subject.kind === 'picture' || subject.kind === 'item' ||
  (subject.kind === 'attributes' && Object.keys(subject.attributes).length > 0);

/** What the subject is called. @param {Subject} subject */
export function nameOf(subject) {
  if (subject.kind === 'picture') return subject.file.name;
  if (subject.kind === 'item') return subject.itemId;
  if (subject.kind === 'attributes') return pairs(subject.attributes).map(({ field, word }) => wordLabel(field, word)).join(' ');
  return t('recommend.no_query');
}

/** Names of what an explanation's shares belong to, in its order. @param {Query} state */
export const partNames = ({ subject, liked, disliked }) => [
  subject.kind === 'none' ? '' : nameOf(subject),
  ...liked.map((id) => `♥ ${id}`),
  ...disliked.map((id) => `✕ ${id}`),
];

/** The request of `POST /api/recommend`, and the pictures that go with it. @param {Query} state @param {string} collection */
export function requestOf(state, collection) {
  const { subject } = state;
  const body = { collection, ...options(state) };
  if (subject.kind === 'item') body.query = { item_id: subject.itemId };
  if (subject.kind === 'attributes') body.query = { attributes: subject.attributes };
  body.positive = state.liked.map((item_id) => ({ item_id }));
  body.negative = state.disliked.map((item_id) => ({ item_id }));
  return { body, pictures: subject.kind === 'picture' ? [['image', subject.file]] : [] };
}

const options = ({ filter, onlyNew, diversity, itemCount }) => ({
  ...(asked(filter) && { filter }),
  item_count: itemCount,
  diversity,
  new_products_only: onlyNew,
  explain: true,
});

/** The same as a `RecommendRequest`. */
function messageOf(state, collection) {
  const { subject } = state;
  const message = { collection, ...options(state) };
  if (subject.kind === 'picture') message.image = new PictureFile(subject.file.name);
  if (subject.kind === 'item') message.items = { item_ids: [subject.itemId] };
  if (subject.kind === 'attributes') message.attributes = subject.attributes;
  message.positive_examples = state.liked.map((item_id) => ({ item_id }));
  message.negative_examples = state.disliked.map((item_id) => ({ item_id }));
  return message;
}

/** @param {Query} state @param {string} collection */
export function snippetsOf(state, collection) {
  const { body, pictures } = requestOf(state, collection);
  const message = messageOf(state, collection);
  return {
    curl: curl('POST', '/api/recommend', pictures.length ? { request: body, pictures } : { json: body }),
    python: python({ service: 'recommender', module: 'recommender_pb2', request: 'RecommendRequest', message, call: 'client.recommend(request)' }),
    grpcurl: grpcurl('recommender', 'atelier.recommender.v1.RecommenderService/Recommend', message),
  };
}
