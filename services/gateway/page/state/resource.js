import { useCallback, useEffect, useRef, useState } from '../html.js';
import { recoveries } from './services.js';
import { token } from './settings.js';

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

/** Doubles the wait after each failure, with jitter. @param {number} failures 1 or more */
export function backoff(failures) {
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - 1));
  return wait * (0.8 + 0.4 * Math.random());
}

/**
 * What a fetch answers, kept while the next is on its way. Transient failures are tried again by themselves, at
 * once when a service comes back or another token is given; `every` asks again after so many milliseconds while the page is visible.
 * @template T
 * @param {((signal: AbortSignal) => Promise<T>) | null} fetcher null: nothing to ask
 * @param {unknown[]} keys asks anew when one changes
 * @param {{ every?: number, keep?: boolean }} [options] keep: shows the last answer until that for other keys is there
 * @returns {{ data: T | undefined, error: import('../api.js').ApiError | undefined, isLoading: boolean, reload: () => void }}
 */
export function useResource(fetcher, keys, { every = 0, keep = false } = {}) {
  const [state, setState] = useState({ data: undefined, error: undefined, isLoading: fetcher !== null });
  const [round, setRound] = useState(0);
  const recovery = recoveries.use();
  const secret = token.use();
  const failures = useRef(0);
  const answered = useRef(keys);
  const reload = useCallback(() => setRound((count) => count + 1), []);

  useEffect(() => {
    if (!fetcher) {
      setState({ data: undefined, error: undefined, isLoading: false });
      return undefined;
    }
    const isOther = answered.current.some((key, place) => key !== keys[place]);
    setState((last) => ({ data: isOther && !keep ? undefined : last.data, error: isOther ? undefined : last.error, isLoading: true }));
    const abort = new AbortController();
    let timer = 0;
    const again = (wait) => {
      timer = setTimeout(() => (document.hidden ? again(wait) : reload()), wait);
    };
    fetcher(abort.signal).then(
      (data) => {
        failures.current = 0;
        answered.current = keys;
        setState({ data, error: undefined, isLoading: false });
        if (every) again(every);
      },
      (error) => {
        if (error.name === 'AbortError') return;
        setState((last) => ({ data: isOther ? undefined : last.data, error, isLoading: false }));
        if (error.isTransient || every) again(Math.max(every, backoff((failures.current += 1))));
      },
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [...keys, round, recovery, secret, fetcher === null]);

  return { ...state, reload };
}
