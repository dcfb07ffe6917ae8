// The views by their name in the address. A view is a folder with a component; add a line here and `nav.<name>` to i18n/.
export const VIEWS = [
  { name: 'overview', load: () => import('./overview/view.js').then(({ Overview }) => Overview) },
  { name: 'recommend', load: () => import('./recommend/view.js').then(({ Recommend }) => Recommend) },
  { name: 'rank', load: () => import('./rank/view.js').then(({ Rank }) => Rank) },
  { name: 'training', load: () => import('./training/view.js').then(({ Training }) => Training) },
  { name: 'catalog', load: () => import('./catalog/view.js').then(({ Catalog }) => Catalog) },
];
