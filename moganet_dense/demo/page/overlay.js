// Predictions, in one form for all tasks: {task, name, score, colour} and some of box,
// runs (a mask) and keypoints. Drawn on a canvas of the image's size, and found under the pointer.

export function objectsOf(response, shown) {
  if (response.task === 'classification') {
    return response.classes.map((row) => ({ ...row, task: response.task, colour: 'var(--accent)' }));
  }
  if (response.task === 'segmentation') {
    return response.classes.map((row) => ({
      task: response.task, name: row.name, score: row.score, runs: row.segmentation,
      colour: shown.colours[row.label], pixels: row.pixels,
    }));
  }
  const category = Object.fromEntries(response.categories.map((each) => [each.id, each]));
  return response.annotations.map((row, i) => {
    const [x, y, width, height] = row.bbox;
    const kind = category[row.category_id];
    return {
      task: response.task,
      name: kind.name,
      score: row.score,
      box: { x, y, width, height },
      runs: row.segmentation,
      keypoints: row.keypoints && keypoints(row.keypoints, kind),
      points: row.points,
      links: kind.skeleton,
      colour: shown.colours[row.keypoints ? i : row.category_id],
    };
  });
}

function keypoints(numbers, kind) {
  return kind.keypoints.map((name, k) => {
    const [x, y, score] = numbers.slice(3 * k, 3 * k + 3);
    return { name, x, y, score };
  });
}

// Objects by their score, people by their best keypoint; areas are cut pixel by pixel.
export function isShown(object, threshold) {
  if (object.keypoints) return object.keypoints.some((keypoint) => keypoint.score >= threshold);
  return !object.box || object.score >= threshold;
}

export function drawObjects(context, objects, view) {
  paintMasks(context, objects, view);
  const ordered = [...objects].reverse(); // the most confident on top
  for (const object of ordered) if (object.keypoints) drawKeypoints(context, object, view);
  for (const object of ordered) if (object.box) drawBox(context, object, view);
  for (const object of ordered) if (object.box && !object.keypoints) drawName(context, object, view);
}

const isDim = (object, view) => view.lit && view.lit !== object;

function paintMasks(context, objects, view) {
  const masked = objects.filter((object) => object.mask);
  if (!masked.length) return;
  const layer = new OffscreenCanvas(view.width, view.height);
  const painting = layer.getContext('2d', { willReadFrequently: true });
  const image = painting.createImageData(view.width, view.height);
  for (const object of [...masked].reverse()) {
    const [r, g, b] = rgb(object.colour);
    const opacity = isDim(object, view) ? 40 : 140;
    const mask = object.mask();
    for (let y = 0; y < view.height; y++) {
      for (let x = 0; x < view.width; x++) {
        const place = y * view.width + x;
        if (!mask.at(x, y) || isUnsure(view, place)) continue;
        image.data.set([r, g, b, opacity], 4 * place);
      }
    }
  }
  painting.putImageData(image, 0, 0);
  context.drawImage(layer, 0, 0);
}

const isUnsure = (view, place) => view.certainty && view.certainty[place] < view.threshold * 255;
const rgb = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));

function drawBox(context, object, view) {
  const { unit } = view;
  const { x, y, width, height } = object.box;
  context.globalAlpha = isDim(object, view) ? 0.3 : object.keypoints ? 0.6 : 1;
  context.lineWidth = (object === view.lit ? 3.5 : 2) * unit;
  if (object.keypoints) context.setLineDash([4 * unit, 3 * unit]);
  context.strokeStyle = object.colour;
  context.strokeRect(x, y, width, height);
  context.setLineDash([]);
  context.globalAlpha = 1;
}

function drawName(context, object, view) {
  if (isDim(object, view)) return;
  const words = `${object.name} ${scoreText(object.score)}`;
  const size = 12 * view.unit;
  context.font = `600 ${size}px system-ui, sans-serif`;
  const width = context.measureText(words).width + 0.7 * size;
  const left = Math.max(0, Math.min(object.box.x - view.unit, view.width - width));
  const top = Math.max(0, object.box.y - 1.35 * size);
  context.fillStyle = object.colour;
  context.fillRect(left, top, width, 1.35 * size);
  const [r, g, b] = rgb(object.colour);
  context.fillStyle = 0.3 * r + 0.59 * g + 0.11 * b > 140 ? '#111' : '#fff';
  context.textBaseline = 'middle';
  context.fillText(words, left + 0.35 * size, top + 0.7 * size);
}

function drawKeypoints(context, object, view) {
  const { unit } = view;
  const sure = object.keypoints.map((keypoint) => keypoint.score >= view.threshold);
  context.globalAlpha = isDim(object, view) ? 0.3 : 1;
  context.strokeStyle = context.fillStyle = object.colour;
  context.lineWidth = 3 * unit;
  context.lineCap = 'round';
  for (const [a, b] of object.links) {
    if (!sure[a - 1] || !sure[b - 1]) continue; // COCO counts keypoints from 1
    const [from, to] = [object.keypoints[a - 1], object.keypoints[b - 1]];
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
  }
  object.keypoints.forEach((keypoint, k) => {
    if (!sure[k]) return;
    context.beginPath();
    context.arc(keypoint.x, keypoint.y, 3.5 * unit, 0, 7);
    context.fill();
    context.lineWidth = unit;
    context.strokeStyle = '#fff';
    context.stroke();
    context.strokeStyle = object.colour;
  });
  context.globalAlpha = 1;
}

// A score as text; areas of exported files have none.
export const scoreText = (score) => score?.toFixed(2) ?? '';

// The object at a point of the image, with its name and score.
export function objectAt(objects, x, y, view) {
  if (x < 0 || y < 0 || x >= view.width || y >= view.height) return null;
  const near = Math.max(view.width, view.height) / 60;
  let best = null;
  for (const object of objects) {
    for (const keypoint of object.keypoints ?? []) {
      const distance = Math.hypot(keypoint.x - x, keypoint.y - y);
      if (keypoint.score >= view.threshold && distance < (best?.distance ?? near)) {
        best = { object, name: keypoint.name, score: keypoint.score, distance };
      }
    }
  }
  if (best) return best;
  const place = Math.floor(y) * view.width + Math.floor(x);
  for (const object of objects) {
    if (!object.mask || !object.mask().at(x, y)) continue;
    if (!view.certainty) return { object, name: object.name, score: object.score };
    if (!isUnsure(view, place)) return { object, name: object.name, score: view.certainty[place] / 255 };
  }
  const boxed = objects.filter(({ box, mask }) => box && !mask
    && x >= box.x && y >= box.y && x <= box.x + box.width && y <= box.y + box.height);
  boxed.sort((a, b) => a.box.width * a.box.height - b.box.width * b.box.height);
  return boxed.length ? { object: boxed[0], name: boxed[0].name, score: boxed[0].score } : null;
}
