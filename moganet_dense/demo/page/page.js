// The page: sends an image to the server and draws the response. No library, no external requests.
import { decodeRuns, inflate } from './rle.js';
import { drawObjects, isShown, objectAt, objectsOf, scoreText } from './overlay.js';
import { drawViews } from './views.js';

const $ = (id) => document.getElementById(id);
const TASKS = {
  detection: 'Boxes, masks',
  segmentation: 'Segmentation',
  pose: 'Skeletons',
  pose3d: 'Skeletons in space',
  classification: 'Classification',
};

const FINE = 900; // minimum pixels along the longer side of the drawing

let offered = [];
let maxBytes = 0;
let image = null; // {file, name, bitmap}
let found = null; // the response, with objects and masks decoded
let lit = null; // the object under the pointer
let asking = null; // AbortController of the current request

function say(words, kind = '') {
  $('status').textContent = words;
  $('status').className = kind;
}

function fill(select, rows) {
  select.replaceChildren(...rows.map(([value, words]) => new Option(words, value)));
}

function offerModels() {
  const own = offered.filter((model) => model.task === $('task').value);
  fill($('model'), own.map((model) => [model.name, model.name]));
  const detectors = offered.filter((model) => model.task === 'detection');
  fill($('detector'), [['', 'The image is one person'], ...detectors.map((m) => [m.name, `Found by ${m.name}`])]);
  $('detector-field').hidden = $('task').value !== 'pose';
  $('threshold-field').hidden = $('task').value === 'classification';
  offerExamples();
}

const general = [...$('examples').children]; // of the page; a model may have its own

function offerExamples() {
  const number = offered.findIndex((model) => model.name === $('model').value);
  const count = offered[number]?.examples ?? 0;
  const own = [...Array(count).keys()].map((k) => {
    const button = general[k].cloneNode(true);
    button.dataset.src = button.firstElementChild.src = `samples/${number}/${k}`;
    button.firstElementChild.alt = `Example ${k + 1} of the data set`;
    return button;
  });
  $('examples').replaceChildren(...(count ? own : general));
}

async function begin() {
  try {
    const answer = await (await fetch('models')).json();
    offered = answer.models;
    maxBytes = answer.max_bytes;
  } catch {
    return say('The server does not respond; is it still running?', 'bad');
  }
  const tasks = Object.keys(TASKS).filter((task) => offered.some((model) => model.task === task));
  fill($('task'), tasks.map((task) => [task, TASKS[task]]));
  offerModels();
  document.body.dataset.ready = 'yes';
}

async function take(file, name) {
  asking?.abort();
  if (file.size > maxBytes) {
    return say(`This file is too large: at most ${Math.floor(maxBytes / 2 ** 20)} MB.`, 'bad');
  }
  let bitmap = null;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    // the server reports the error
  }
  image = { file, name, bitmap };
  await ask();
}

async function ask() {
  if (!image) return;
  asking?.abort();
  const own = (asking = new AbortController());
  const model = $('model').value;
  forget();
  say(`${model} is running; the first request also loads it.`, 'busy');
  const query = new URLSearchParams({ model });
  if ($('task').value === 'pose' && $('detector').value) query.set('detector', $('detector').value);
  try {
    const response = await fetch(`predict?${query}`, {
      method: 'POST',
      body: image.file,
      headers: { 'Content-Type': 'application/octet-stream' },
      signal: own.signal,
    });
    const answer = await response.json();
    if (!response.ok) return say(answer.error, 'bad');
    await takeAnswer(answer);
  } catch (error) {
    if (error.name !== 'AbortError') say(`The server does not respond (${error.message}).`, 'bad');
  }
}

async function takeAnswer(answer) {
  const { shown, ...response } = answer;
  const { width, height } = response.images[0];
  response.images[0].file_name = image.name;
  const certainty = shown.certainty ? await inflate(shown.certainty) : null;
  found = { response, objects: objectsOf(response, shown), certainty, width, height };
  for (const object of found.objects) {
    if (object.runs) object.mask = () => (object.decoded ??= decodeRuns(object.runs));
  }
  $('downloads').hidden = false;
  show();
}

function forget() {
  found = lit = null;
  $('downloads').hidden = $('tip').hidden = $('views').hidden = true;
  $('list').replaceChildren();
  const { bitmap } = image;
  $('stage').hidden = !bitmap;
  if (bitmap) draw($('canvas'), bitmap.width, bitmap.height);
}

const threshold = () => Number($('threshold').value);
const visible = () => found.objects.filter((object) => isShown(object, threshold()));

function draw(canvas, width, height) {
  const scale = Math.max(1, FINE / Math.max(width, height)); // lines and letters on small images
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext('2d');
  context.scale(scale, scale);
  context.drawImage(image.bitmap, 0, 0, width, height);
  if (!found) return;
  const unit = width / ($('canvas').clientWidth || width); // a pixel of the screen
  drawObjects(context, visible(), { ...found, threshold: threshold(), lit, unit });
}

function show() {
  draw($('canvas'), found.width, found.height);
  const objects = visible();
  const all = found.objects.length;
  say(`${summary(objects.length, all)}${found.response.model}, ${found.response.seconds.toFixed(2)} s.`);
  $('list').replaceChildren(...objects.map(row));
  const inSpace = objects.filter((object) => object.points);
  $('views').hidden = !inSpace.length;
  if (inSpace.length) drawViews($('views'), inSpace);
}

function summary(shown, all) {
  if (!all) return 'The model finds nothing in this image. ';
  if (!shown) {
    const best = Math.max(...found.objects.map((object) => object.score));
    const limit = threshold().toFixed(2);
    return `Nothing above ${limit}; the best score is ${best.toFixed(2)}: lower the score. `;
  }
  return found.objects[0].box ? `${shown} of ${all} shown. ` : '';
}

function row(object) {
  const item = document.createElement('li');
  const chip = document.createElement('span');
  chip.className = 'chip';
  chip.style.background = object.colour;
  const name = document.createElement('span');
  name.className = 'name';
  name.textContent = name.title = object.name;
  const score = document.createElement('span');
  score.className = 'score';
  score.textContent = scoreText(object.score);
  item.append(chip, name, score);
  item.addEventListener('pointerenter', () => light(object));
  item.addEventListener('pointerleave', () => light(null));
  item.classList.toggle('lit', object === lit);
  return item;
}

function light(object) {
  if (object === lit) return;
  lit = object;
  draw($('canvas'), found.width, found.height);
  visible().forEach((each, i) => $('list').children[i]?.classList.toggle('lit', each === lit));
}

function point(event) {
  if (!found) return;
  const frame = $('canvas').getBoundingClientRect();
  const x = ((event.clientX - frame.left) / frame.width) * found.width;
  const y = ((event.clientY - frame.top) / frame.height) * found.height;
  const hit = objectAt(visible(), x, y, { ...found, threshold: threshold() });
  light(hit?.object ?? null);
  const tip = $('tip');
  tip.hidden = !hit;
  if (!hit) return;
  tip.textContent = `${hit.name} ${scoreText(hit.score)}`;
  const left = Math.min(event.clientX - frame.left + 14, frame.width - tip.offsetWidth - 4);
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${Math.max(event.clientY - frame.top - 34, 4)}px`;
}

function save(blob, ending) {
  const words = image.name.replace(/\.[^.]*$/, '').match(/[\p{L}\p{N}._-]+/gu) ?? ['image'];
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${words.join('_')}_predicted.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function saveImage() {
  const canvas = document.createElement('canvas');
  light(null);
  draw(canvas, found.width, found.height);
  canvas.toBlob((blob) => save(blob, 'png'), 'image/png');
}

function saveJson() {
  save(new Blob([JSON.stringify(found.response, null, 1)], { type: 'application/json' }), 'json');
}

async function takeExample(source) {
  const response = await fetch(source);
  await take(await response.blob(), source.split('/').pop());
}

const firstFile = (transfer) => [...(transfer?.files ?? [])][0];

$('task').addEventListener('change', () => { offerModels(); ask(); });
$('model').addEventListener('change', () => { offerExamples(); ask(); });
$('detector').addEventListener('change', ask);
$('threshold').addEventListener('input', () => {
  $('threshold-value').textContent = threshold().toFixed(2);
  if (found) show();
});
$('controls').addEventListener('submit', (event) => event.preventDefault());
$('file').addEventListener('change', (event) => {
  const [file] = event.target.files;
  if (file) take(file, file.name);
  event.target.value = '';
});
$('examples').addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) takeExample(button.dataset.src);
});
for (const kind of ['dragover', 'dragleave', 'drop']) {
  window.addEventListener(kind, (event) => {
    event.preventDefault();
    $('drop').classList.toggle('over', kind === 'dragover');
    const file = kind === 'drop' && firstFile(event.dataTransfer);
    if (file) take(file, file.name);
  });
}
window.addEventListener('paste', (event) => {
  const file = firstFile(event.clipboardData);
  if (file) take(file, file.name);
});
$('canvas').addEventListener('pointermove', point);
$('canvas').addEventListener('pointerdown', point);
$('canvas').addEventListener('pointerleave', () => { $('tip').hidden = true; if (found) light(null); });
$('save-image').addEventListener('click', saveImage);
$('save-json').addEventListener('click', saveJson);
begin();
