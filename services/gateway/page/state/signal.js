import { useEffect, useState } from '../html.js';

/**
 * A value that components follow: `get`, `set`, `subscribe`, and `use` inside a component.
 * @template T
 * @param {T} initial
 */
export function signal(initial) {
  let value = initial;
  const listeners = new Set();
  const self = {
    get: () => value,
    set(next) {
      value = typeof next === 'function' ? next(value) : next;
      listeners.forEach((listener) => listener(value));
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    use() {
      const [current, update] = useState(value);
      useEffect(() => {
        update(() => value);
        return self.subscribe((next) => update(() => next));
      }, []);
      return current;
    },
  };
  return self;
}

/**
 * A signal kept in the browser's storage, where that is allowed.
 * @param {string} key @param {string} fallback @param {() => Storage} storage
 */
export function storedSignal(key, fallback, storage = () => localStorage) {
  const self = signal(read(key, storage) ?? fallback);
  self.subscribe((value) => write(key, value, storage));
  return self;
}

function read(key, storage) {
  try {
    return storage().getItem(key);
  } catch {
    return null; // storage is off: settings last as long as the page
  }
}

function write(key, value, storage) {
  try {
    if (value === '' || value === null) storage().removeItem(key);
    else storage().setItem(key, value);
  } catch {
    // as in `read`
  }
}
