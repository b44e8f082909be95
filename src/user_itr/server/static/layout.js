// The justified layout: rows of equal height across the whole width, nothing cropped.

/**
 * Places photos in rows whose height is as near to `target` as the photos allow.
 *
 * @param {{width: number, height: number}[]} photos sizes in pixels; only their ratio matters
 * @param {number} width of the container, in whole pixels
 * @param {number} target height of a row
 * @param {number} gap between photos and between rows
 * @param {boolean} complete whether a last row that is not full is placed too (at target height)
 * @returns {{boxes: {left, top, width, height, row}[], height: number}} a box a placed photo
 */
export function justify(photos, width, target, gap, complete) {
  const ratios = photos.map((photo) => Math.max(photo.width, 1) / Math.max(photo.height, 1));
  const boxes = [];
  let top = 0;
  for (let start = 0, row = 0; start < photos.length; row += 1) {
    const { end, height, full } = nextRow(ratios, start, width, target, gap);
    if (!full && !complete) break;
    let left = 0;
    for (let i = start; i < end; i += 1) {
      const last = full && i === end - 1;
      const wide = last ? width - left : Math.round(ratios[i] * height);
      boxes.push({ left, top, width: wide, height: Math.round(height), row });
      left += wide + gap;
    }
    top += Math.round(height) + gap;
    start = end;
  }
  return { boxes, height: Math.max(0, top - gap) };
}

function nextRow(ratios, start, width, target, gap) {
  let sum = 0;
  let without = Infinity; // the row's height before the photo at hand
  for (let i = start; i < ratios.length; i += 1) {
    sum += ratios[i];
    const height = (width - gap * (i - start)) / sum;
    if (height <= target) {
      const nearer = i > start && without / target < target / height;
      return nearer
        ? { end: i, height: without, full: true }
        : { end: i + 1, height, full: true };
    }
    without = height;
  }
  return { end: ratios.length, height: target, full: false };
}

/** The box to go to with an arrow key from box number `from`; `from` itself where there is none. */
export function neighbour(boxes, from, key) {
  const steps = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: boxes.length - 1 };
  if (key in steps) return Math.min(Math.max(steps[key], 0), boxes.length - 1);
  const row = boxes[from].row + (key === "ArrowDown" ? 1 : -1);
  const middle = (box) => box.left + box.width / 2;
  const distance = (i) => Math.abs(middle(boxes[i]) - middle(boxes[from]));
  let best = from;
  boxes.forEach((box, i) => {
    if (box.row === row && (best === from || distance(i) < distance(best))) best = i;
  });
  return best;
}
