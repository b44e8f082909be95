// Where every photo of a list stands: rows of equal height across the whole width, nothing cropped,
// days below their headings. Short days share a row.

const TALLEST = 12e6; // pixels of a page; browsers lay out no more than 17 to 33 million
const NARROWEST = 168; // pixels for a heading
const APART = 24; // pixels between days in one row

export class Layout {
  /**
   * @param {ArrayLike<number>} ratios width by height of each photo
   * @param {{start: number, count: number, title?: string}[]} sections of all photos, in order;
   *   those with a title get room for a heading
   * @param {number} width of the container, in whole pixels
   * @param {{height: number, gap: number, heading: number}} look the height of a row that is
   *   aimed at, what is between photos and between rows, and the room for a heading
   * @param {boolean} complete whether a last row that is not full is placed too, at that height
   */
  constructor(ratios, sections, width, look, complete = true) {
    Object.assign(this, { ratios, sections, width, look, complete });
    this.place(look.height);
    for (let tries = 3; this.height > TALLEST && tries; tries -= 1) {
      this.place(this.target * Math.sqrt(TALLEST / this.height));
    }
  }

  place(target) {
    const { ratios, sections, width, complete } = this;
    const { gap, heading } = this.look;
    const whole = Math.round(target);
    Object.assign(this, { target, starts: [], tops: [], heights: [], heads: [], placed: 0 });
    this.lefts = new Int32Array(ratios.length);
    this.widths = new Int32Array(ratios.length);
    let below = 0; // where the next row begins
    let beside = Infinity; // where the next short day begins in the row at hand
    for (const { start, count, title } of sections) {
      const end = start + count;
      const room = title ? heading : 0;
      for (let from = start; from < end; ) {
        const row = nextRow(ratios, from, end, width, target, gap);
        if (!row.full && !complete && end === ratios.length) break;
        const short = Boolean(title) && from === start && !row.full;
        const wide = short ? Math.max(row.wide, NARROWEST) : width;
        const left = short && beside + wide <= width ? beside : 0;
        if (from === start) {
          const top = left ? this.tops.at(-1) - room : below;
          this.heads.push({ left, top, width: Math.min(wide, width) });
        }
        if (!left) {
          const high = row.full ? Math.round(row.height) : whole;
          below += from === start ? room : 0;
          this.starts.push(from);
          this.tops.push(below);
          this.heights.push(high);
          below += high + gap;
        }
        this.fill(from, row, left);
        beside = short ? left + wide + APART : Infinity;
        from = this.placed = row.end;
      }
    }
    this.height = Math.max(0, below - gap);
  }

  fill(from, { end, full }, left) {
    const height = this.heights.at(-1);
    for (let i = from; i < end; i += 1) {
      this.lefts[i] = left;
      const last = full && i === end - 1;
      this.widths[i] = last ? this.width - left : Math.round(this.ratios[i] * height);
      left += this.widths[i] + this.look.gap;
    }
  }

  /** The row of a photo. */
  rowOf(place) {
    return lastUpTo(this.starts, place);
  }

  /** The row at a height, or the nearest. */
  rowAt(y) {
    return Math.max(0, lastUpTo(this.tops, y));
  }

  /** The section of a photo. */
  sectionOf(place) {
    return lastUpTo(this.sections, place, (section) => section.start);
  }

  /** The first photo of a row; behind the last row, the number of photos placed. */
  startOf(row) {
    return row < this.starts.length ? this.starts[row] : this.placed;
  }

  box(place) {
    const row = this.rowOf(place);
    const [left, width] = [this.lefts[place], this.widths[place]];
    return { left, top: this.tops[row], width, height: this.heights[row] };
  }

  /** The photo to go to with a key from one; the same where there is none. `page`: pixels. */
  neighbour(from, key, page) {
    const last = this.placed - 1;
    const steps = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last };
    if (key in steps) return Math.min(Math.max(steps[key], 0), last);
    const row = this.rowOf(from);
    if (key === "ArrowUp") return row > 0 ? this.nearest(row - 1, from) : from;
    if (key === "ArrowDown") return row + 1 < this.starts.length ? this.nearest(row + 1, from) : from;
    const by = key === "PageUp" ? -page : page;
    const to = this.rowAt(this.tops[row] + by);
    return this.nearest(to === row ? Math.max(0, row + Math.sign(by)) : to, from);
  }

  nearest(row, from) {
    const middle = (place) => this.lefts[place] + this.widths[place] / 2;
    const end = this.startOf(row + 1);
    let best = Math.min(this.startOf(row), this.placed - 1);
    for (let i = best + 1; i < end; i += 1) {
      if (Math.abs(middle(i) - middle(from)) < Math.abs(middle(best) - middle(from))) best = i;
    }
    return best;
  }
}

/** The photos of a row from `start` on, whose height is as near to `target` as they allow. */
function nextRow(ratios, start, end, width, target, gap) {
  let sum = 0;
  let without = Infinity; // the row's height before the photo at hand
  for (let i = start; i < end; i += 1) {
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
  return { end, wide: Math.round(target * sum) + gap * (end - start - 1), full: false };
}

/** The place of the last of ascending values that is not above one; -1 where all are. */
function lastUpTo(values, limit, of = (value) => value) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(values[middle]) <= limit) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
