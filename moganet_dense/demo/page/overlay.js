// What a model sees, in one form for all tasks: {task, name, score, colour} and some of box,
// runs (a mask) and joints. Drawn onto a canvas of the answer's size, and found under a pointer.

export function thingsOf(told, shown) {
  if (told.task === 'classification') {
    return told.classes.map((row) => ({ ...row, task: told.task, colour: 'var(--accent)' }));
  }
  if (told.task === 'segmentation') {
    return told.classes.map((row) => ({
      task: told.task, name: row.name, score: row.score, runs: row.segmentation,
      colour: shown.colours[row.label], pixels: row.pixels,
    }));
  }
  const category = Object.fromEntries(told.categories.map((each) => [each.id, each]));
  return told.annotations.map((row, i) => {
    const [x, y, width, height] = row.bbox;
    const kind = category[row.category_id];
    return {
      task: told.task,
      name: kind.name,
      score: row.score,
      box: { x, y, width, height },
      runs: row.segmentation,
      joints: row.keypoints && joints(row.keypoints, kind),
      links: kind.skeleton,
      colour: shown.colours[told.task === 'pose' ? i : row.category_id],
    };
  });
}

function joints(numbers, kind) {
  return kind.keypoints.map((name, k) => {
    const [x, y, score] = numbers.slice(3 * k, 3 * k + 3);
    return { name, x, y, score };
  });
}

// Objects by their score, persons by their best joint; areas are cut pixel by pixel.
export function isShown(thing, threshold) {
  if (thing.joints) return thing.joints.some((joint) => joint.score >= threshold);
  return !thing.box || thing.score >= threshold;
}

export function drawThings(context, things, view) {
  paintMasks(context, things, view);
  const ordered = [...things].reverse(); // the most certain on top
  for (const thing of ordered) if (thing.joints) drawJoints(context, thing, view);
  for (const thing of ordered) if (thing.box) drawBox(context, thing, view);
  for (const thing of ordered) if (thing.box && !thing.joints) drawName(context, thing, view);
}

const isDim = (thing, view) => view.lit && view.lit !== thing;

function paintMasks(context, things, view) {
  const masked = things.filter((thing) => thing.mask);
  if (!masked.length) return;
  const layer = new OffscreenCanvas(view.width, view.height);
  const painting = layer.getContext('2d', { willReadFrequently: true });
  const image = painting.createImageData(view.width, view.height);
  for (const thing of [...masked].reverse()) {
    const [r, g, b] = rgb(thing.colour);
    const opacity = isDim(thing, view) ? 40 : 140;
    const mask = thing.mask();
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

function drawBox(context, thing, view) {
  const { unit } = view;
  const { x, y, width, height } = thing.box;
  context.globalAlpha = isDim(thing, view) ? 0.3 : thing.joints ? 0.6 : 1;
  context.lineWidth = (thing === view.lit ? 3.5 : 2) * unit;
  if (thing.joints) context.setLineDash([4 * unit, 3 * unit]);
  context.strokeStyle = thing.colour;
  context.strokeRect(x, y, width, height);
  context.setLineDash([]);
  context.globalAlpha = 1;
}

function drawName(context, thing, view) {
  if (isDim(thing, view)) return;
  const words = `${thing.name} ${thing.score.toFixed(2)}`;
  const size = 12 * view.unit;
  context.font = `600 ${size}px system-ui, sans-serif`;
  const width = context.measureText(words).width + 0.7 * size;
  const left = Math.max(0, Math.min(thing.box.x - view.unit, view.width - width));
  const top = Math.max(0, thing.box.y - 1.35 * size);
  context.fillStyle = thing.colour;
  context.fillRect(left, top, width, 1.35 * size);
  const [r, g, b] = rgb(thing.colour);
  context.fillStyle = 0.3 * r + 0.59 * g + 0.11 * b > 140 ? '#111' : '#fff';
  context.textBaseline = 'middle';
  context.fillText(words, left + 0.35 * size, top + 0.7 * size);
}

function drawJoints(context, thing, view) {
  const { unit } = view;
  const sure = thing.joints.map((joint) => joint.score >= view.threshold);
  context.globalAlpha = isDim(thing, view) ? 0.3 : 1;
  context.strokeStyle = context.fillStyle = thing.colour;
  context.lineWidth = 3 * unit;
  context.lineCap = 'round';
  for (const [a, b] of thing.links) {
    if (!sure[a - 1] || !sure[b - 1]) continue; // COCO counts joints from 1
    const [from, to] = [thing.joints[a - 1], thing.joints[b - 1]];
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
  }
  thing.joints.forEach((joint, k) => {
    if (!sure[k]) return;
    context.beginPath();
    context.arc(joint.x, joint.y, 3.5 * unit, 0, 7);
    context.fill();
    context.lineWidth = unit;
    context.strokeStyle = '#fff';
    context.stroke();
    context.strokeStyle = thing.colour;
  });
  context.globalAlpha = 1;
}

// The thing at a place of the picture, with the name and score that belong there.
export function thingAt(things, x, y, view) {
  if (x < 0 || y < 0 || x >= view.width || y >= view.height) return null;
  const near = Math.max(view.width, view.height) / 60;
  let best = null;
  for (const thing of things) {
    for (const joint of thing.joints ?? []) {
      const distance = Math.hypot(joint.x - x, joint.y - y);
      if (joint.score >= view.threshold && distance < (best?.distance ?? near)) {
        best = { thing, name: joint.name, score: joint.score, distance };
      }
    }
  }
  if (best) return best;
  const place = Math.floor(y) * view.width + Math.floor(x);
  for (const thing of things) {
    if (!thing.mask || !thing.mask().at(x, y)) continue;
    if (!view.certainty) return { thing, name: thing.name, score: thing.score };
    if (!isUnsure(view, place)) return { thing, name: thing.name, score: view.certainty[place] / 255 };
  }
  const boxed = things.filter(({ box, mask }) => box && !mask
    && x >= box.x && y >= box.y && x <= box.x + box.width && y <= box.y + box.height);
  boxed.sort((a, b) => a.box.width * a.box.height - b.box.width * b.box.height);
  return boxed.length ? { thing: boxed[0], name: boxed[0].name, score: boxed[0].score } : null;
}
