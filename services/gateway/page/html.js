// The only module that imports Preact and htm: `html` for markup, hooks for state. Values are always text, never markup.
import { h, render, Fragment } from './vendor/preact.js';
import htm from './vendor/htm.js';

export { render, Fragment };
export { useCallback, useEffect, useMemo, useRef, useState } from './vendor/preact-hooks.js';
export const html = htm.bind(h);

/** Joins class names, leaving out what is false. @param {...(string|false|null|undefined)} names */
export const classes = (...names) => names.filter(Boolean).join(' ');
