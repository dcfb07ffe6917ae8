// The words of the collection's lead: what an attribute query, a filter or a form can offer, and what they are called.
import { api } from '../api.js';
import { has, language, t } from '../i18n/index.js';
import { signal } from './signal.js';
import { connection } from './services.js';

/** @typedef {{ word: string, display: Record<string, string> }} Word */
/** @typedef {{ name: string, is_list: boolean, display: Record<string, string>, words: Word[] }} Field */
/** @typedef {{ model: string, fields: Field[] }} Vocabulary */

const NONE = { model: '', fields: [] };
export const vocabulary = signal(/** @type {Vocabulary} */ (NONE));
let leads = '';

/** The followed models of the recommender, the likeliest to have words first. */
function followed({ services }) {
  const models = services.find((each) => each.name === 'recommender')?.models || [];
  const names = models.filter((each) => each.alias).map((each) => `${each.identity.name}/${each.identity.version}`);
  return names.sort((a, b) => Number(b.includes('attributes')) - Number(a.includes('attributes')));
}

async function load(names) {
  for (const name of names) {
    try {
      return await api.vocabulary(name.split('/')[0]);
    } catch (error) {
      if (error.status !== 404) throw error; // a lead without words; another error is tried again at the next poll
    }
  }
  return NONE;
}

connection.subscribe(async (state) => {
  const names = followed(state);
  if (!names.length || names.join() === leads) return;
  leads = names.join();
  try {
    vocabulary.set(await load(names));
  } catch {
    leads = '';
  }
});

const shown = (display, fallback) => display?.[language.get()] || display?.en || display?.ko || fallback;

/** @param {string} name */
export const fieldOf = (name) => vocabulary.get().fields.find((field) => field.name === name);

/** @param {string} name */
export const fieldLabel = (name) => shown(fieldOf(name)?.display, has(`field.${name}`) ? t(`field.${name}`) : capitalised(name));

const capitalised = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll('_', ' ');

/** @param {string} field @param {unknown} word */
export function wordLabel(field, word) {
  const known = fieldOf(field)?.words.find((each) => each.word === word);
  const native = language.get() === 'ko' ? String(word) : undefined;
  return known ? known.display?.[language.get()] || native || shown(known.display, known.word) : String(word);
}

/** The values of a field of a record as a list. @param {unknown} value */
export const listed = (value) => (Array.isArray(value) ? value : value === null || value === undefined || value === '' ? [] : [value]);

/** A record as pairs of field and word, in the order of the vocabulary. @param {Record<string, unknown>} attributes */
export function pairs(attributes = {}) {
  const order = vocabulary.get().fields.map((field) => field.name);
  const place = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
  return Object.keys(attributes)
    .sort((a, b) => place(a) - place(b))
    .flatMap((field) => listed(attributes[field]).map((word) => ({ field, word })));
}

/** What an item is called: its colour and category, else its identifier. @param {any} item */
export function titleOf(item) {
  const record = item.attributes || {};
  const words = ['colour', 'category'].flatMap((field) =>
    listed(record[field]).slice(0, 1).map((word) => wordLabel(field, word)),
  );
  return words.length ? words.join(' ') : item.item_id;
}
