// What a person does with recommendations, sent to the recommender; a token without the scope for it ends that.
import { api } from '../api.js';
import { collection, token } from './settings.js';
import { showError } from './toasts.js';

let isRefused = false;
token.subscribe(() => {
  isRefused = false; // another token may have the scope
});

/**
 * @param {'shown'|'clicked'|'liked'|'disliked'} kind @param {string[]} itemIds
 * @param {any} [lead] the model that made the recommendation, as the answer named it first
 */
export async function sendFeedback(kind, itemIds, lead) {
  if (isRefused || !itemIds.length) return;
  const events = itemIds.map((item_id) => ({ kind, item_id, ...(lead && { lead }) }));
  try {
    await api.feedback({ collection: collection.get(), events });
  } catch (error) {
    isRefused = error.needsToken;
    showError(error);
  }
}
