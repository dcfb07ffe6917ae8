// The only module that fetches. Answers are the gateway's JSON; failures are `ApiError`.
import { token } from './state/settings.js';

/** A problem of RFC 9457, or a network that did not answer (status 0). */
export class ApiError extends Error {
  /** @param {number} status @param {Record<string, any>} problem @param {string} requestId */
  constructor(status, problem, requestId) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.name = 'ApiError';
    this.status = status;
    this.title = problem.title || '';
    this.code = problem.code || '';
    this.reason = problem.reason || '';
    this.violations = problem.field_violations || [];
    this.retryAfterS = problem.retry_after_s;
    this.requestId = problem.request_id || requestId || '';
  }

  /** Whether the same call may succeed later: nothing answered, or a service is down or full. */
  get isTransient() {
    return this.status === 0 || [429, 502, 503, 504].includes(this.status);
  }

  get needsToken() {
    return this.status === 401 || this.status === 403;
  }
}

/**
 * @param {string} method @param {string} path below /api
 * @param {{ query?: object, json?: unknown, form?: FormData, signal?: AbortSignal }} [options]
 */
async function call(method, path, { query, json, form, signal } = {}) {
  const headers = { Accept: 'application/json', ...authorization() };
  if (json !== undefined) headers['Content-Type'] = 'application/json';
  const body = json !== undefined ? JSON.stringify(json) : form;
  const answer = await reach(`/api${path}${search(query)}`, { method, headers, body, signal });
  if (!answer.ok) throw await failure(answer);
  return answer.status === 204 ? null : arrived(answer.json());
}

const reach = (address, options) => arrived(fetch(address, options));

/** What the network brings; a connection that fails, or ends inside an answer, is an ApiError. @template T @param {Promise<T>} promise */
async function arrived(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, { title: 'The gateway does not answer', detail: error.message }, '');
  }
}

async function failure(answer) {
  const requestId = answer.headers.get('X-Request-Id') || '';
  const isJson = (answer.headers.get('Content-Type') || '').includes('json');
  const problem = isJson ? await arrived(answer.json()) : { title: answer.statusText, detail: `HTTP ${answer.status}` };
  return new ApiError(answer.status, problem, requestId);
}

const authorization = () => (token.get() ? { Authorization: `Bearer ${token.get()}` } : {});

/** @param {object} [query] */
export function search(query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '' && value !== null);
  return given.length ? `?${new URLSearchParams(given.map(([key, value]) => [key, String(value)]))}` : '';
}

const segment = encodeURIComponent;

/** A multipart body: the JSON request as a part, pictures as files. */
export function multipart(request, pictures) {
  const form = new FormData();
  if (request) form.append('request', JSON.stringify(request));
  for (const [part, file] of pictures) form.append(part, file, file.name);
  return form;
}

const withPictures = (path, request, pictures, signal) =>
  pictures.length
    ? call('POST', path, { form: multipart(request, pictures), signal })
    : call('POST', path, { json: request, signal });

/** A picture's address at a size of 96, 192, 384 or 768; empty without a picture. @param {string} address */
export const resized = (address, size) => (address ? `${address}${address.includes('?') ? '&' : '?'}size=${size}` : '');

export const runFileAddress = (runId, name) =>
  `/api/runs/${runId.split('/').map(segment).join('/')}/files/${name.split('/').map(segment).join('/')}`;

/** The bytes behind an address, for pictures that need a token. @param {string} address */
export async function fetchPicture(address, signal) {
  const answer = await reach(address, { headers: authorization(), signal });
  if (!answer.ok) throw await failure(answer);
  return arrived(answer.blob());
}

const alias = (model, name, verb) =>
  `/models/${segment(model)}/aliases/${segment(name)}/${verb}`;

export const api = {
  services: (signal) => call('GET', '/services', { signal }),
  latency: (signal) => call('GET', '/latency', { signal }),
  kpis: (query, signal) => call('GET', '/kpis', { query, signal }),
  models: (signal) => call('GET', '/models', { signal }),
  promote: (model, name, body) => call('POST', alias(model, name, 'promote'), { json: body }),
  rollback: (model, name, body) => call('POST', alias(model, name, 'rollback'), { json: body }),
  vocabulary: (model, signal) => call('GET', `/models/${segment(model)}/vocabulary`, { signal }),
  index: (query, signal) => call('GET', '/index', { query, signal }),
  rebuild: (body) => call('POST', '/index/rebuild', { json: body }),
  recommend: (request, pictures, signal) => withPictures('/recommend', request, pictures, signal),
  bestsellers: (request, signal) => call('POST', '/recommend/top10_to_new', { json: request, signal }),
  trends: (query, signal) => call('GET', '/trends', { query, signal }),
  search: (request, pictures, signal) => withPictures('/search', request, pictures, signal),
  feedback: (body) => call('POST', '/feedback', { json: body }),
  rank: (options, pictures, signal) => withPictures('/rank', options, pictures, signal),
  items: (query, signal) => call('GET', '/items', { query, signal }),
  item: (id, query, signal) => call('GET', `/items/${segment(id)}`, { query, signal }),
  putItem: (id, request, pictures) =>
    pictures.length
      ? call('PUT', `/items/${segment(id)}`, { form: multipart(request, pictures) })
      : call('PUT', `/items/${segment(id)}`, { json: request }),
  deleteItem: (id, query) => call('DELETE', `/items/${segment(id)}`, { query }),
  runs: (query, signal) => call('GET', '/runs', { query, signal }),
  dashboard: (query, signal) => call('GET', '/dashboard', { query, signal }),
};
