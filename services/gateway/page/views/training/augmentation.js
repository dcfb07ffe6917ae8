import { html } from '../../html.js';
import { t } from '../../i18n/index.js';
import { runFileAddress } from '../../api.js';
import { Picture } from '../../components/picture.js';
import { Panel } from '../../components/stat.js';
import { wordsOf } from './searches.js';

/** Pictures and records as training saw them, beside what they were. */
export function Augmentation({ runId, samples }) {
  if (!samples?.length) return null;
  return html`<${Panel} title=${t('training.augmentation')}>
    <ul class="augmented">${samples.map((sample, place) => html`<li key=${place}>
      <div class="pair">
        <${Side} runId=${runId} title=${t('training.before')} image=${sample.original_image} attributes=${sample.original_attributes} />
        <${Side} runId=${runId} title=${t('training.after')} image=${sample.image} attributes=${sample.attributes} />
      </div>
      ${sample.note && html`<p class="small muted">${sample.note}</p>`}
    </li>`)}</ul>
  <//>`;
}

function Side({ runId, title, image, attributes }) {
  const words = wordsOf(attributes);
  if (!image && !words) return null;
  return html`<figure>
    ${image && html`<${Picture} address=${runFileAddress(runId, image)} alt=${title} />`}
    <figcaption class="small"><span class="muted">${title}</span> ${words}</figcaption>
  </figure>`;
}
