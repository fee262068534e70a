// Poses in space from the front and from the side, on one scale. Points are x right, y down, z away.

const SIDE = 400; // of a view, in pixels
const MARGIN = 0.1;
const VIEWS = [['front', 0], ['side', 2]]; // the axis to the right; from the side, what is near is left

export function drawViews(canvas, objects) {
  canvas.width = 2 * SIDE;
  canvas.height = SIDE;
  const context = canvas.getContext('2d');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  const points = objects.flatMap((object) => object.points);
  const range = [0, 1, 2].map((axis) => {
    const numbers = points.map((point) => point[axis]);
    return [Math.min(...numbers), Math.max(...numbers)];
  });
  const extent = Math.max(...range.map(([low, high]) => high - low), 1e-9);
  const place = (value, axis) =>
    ((value - (range[axis][0] + range[axis][1]) / 2) / extent) * (1 - 2 * MARGIN) * SIDE + SIDE / 2;
  VIEWS.forEach(([name, axis], i) => {
    context.setTransform(1, 0, 0, 1, i * SIDE, 0);
    context.fillStyle = '#333';
    context.font = '16px sans-serif';
    context.fillText(name, 10, 24);
    for (const { points: own, links, colour } of objects) {
      const at = (k) => [place(own[k][axis], axis), place(own[k][1], 1)];
      context.strokeStyle = colour;
      context.lineWidth = 4;
      context.lineCap = 'round';
      for (const [a, b] of links) {
        context.beginPath();
        context.moveTo(...at(a - 1)); // COCO counts from 1
        context.lineTo(...at(b - 1));
        context.stroke();
      }
    }
  });
}
