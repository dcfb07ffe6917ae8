import { api } from '../api.js';
import { collection } from './settings.js';
import { useResource } from './resource.js';

/** An item of the catalog by its identifier; undefined while it is not there. @param {string} itemId empty: none */
export function useItem(itemId) {
  const name = collection.use();
  const fetcher = itemId ? (signal) => api.item(itemId, { collection: name }, signal) : null;
  const { data } = useResource(fetcher, [itemId, name]);
  return data?.item || data;
}
