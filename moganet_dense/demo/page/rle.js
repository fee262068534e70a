// Unpacks responses: COCO's compressed run lengths, and deflated bytes in base 64.

// Runs go down the columns, starting with the background; from the fourth on each is stored as its
// difference to the run two before; five bits per character, lowest first, a sixth for "more follows".
export function decodeRuns({ size: [height, width], counts }) {
  const mask = new Uint8Array(height * width); // column by column
  const runs = [];
  let at = 0;
  for (let i = 0; i < counts.length; ) {
    let number = 0;
    let shift = 0;
    let code;
    do {
      code = counts.charCodeAt(i++) - 48;
      number |= (code & 31) << shift;
      shift += 5;
    } while (code & 32);
    if (code & 16 && shift < 32) number |= -1 << shift;
    if (runs.length > 2) number += runs[runs.length - 2];
    if (runs.length % 2) mask.fill(1, at, at + number);
    at += number;
    runs.push(number);
  }
  return { at: (x, y) => mask[Math.floor(x) * height + Math.floor(y)] === 1, height, width };
}

export async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
