// The land and countries of world.json, in Mercator's projection as web maps have it.

const SOUTHMOST = 85; // degrees north and south that such a map shows
const COAST = 0.2; // degrees that a simplified coast may be away
const AROUND = [[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1], [1, 1], [-1, 1], [-1, -1], [1, -1]];
const UNITS = 36_000; // width of the world in the units of paths

/** Where a place lies, x and y from 0 to 1, from the west and the north. */
export function projected(latitude, longitude) {
  const angle = (Math.min(Math.max(latitude, -SOUTHMOST), SOUTHMOST) * Math.PI) / 180;
  const y = 0.5 - Math.log(Math.tan(Math.PI / 4 + angle / 2)) / (2 * Math.PI);
  return { x: (longitude + 180) / 360, y };
}

/** Latitude and longitude of what lies at x and y; beyond the map's edges lie the poles. */
export function placeAt(x, y) {
  const longitude = x * 360 - 180;
  if (y <= 0 || y >= 1) return { latitude: y <= 0 ? 90 : -90, longitude };
  const angle = 2 * Math.atan(Math.exp((0.5 - y) * 2 * Math.PI)) - Math.PI / 2;
  return { latitude: (angle * 180) / Math.PI, longitude };
}

export class World {
  /** @param {{unit: number, arcs: number[][], countries: [string, number[][]][]}} given */
  constructor({ unit, arcs, countries }) {
    const lines = arcs.map((arc) => lineOf(arc, unit));
    this.countries = countries.map(([name, rings]) => countryOf(name, rings, lines));
    this.width = UNITS;
  }

  /** The outlines of all countries, as an SVG path `width` units wide. */
  path() {
    const spot = ([longitude, latitude]) => {
      const { x, y } = projected(latitude, longitude);
      return `${Math.round(x * UNITS)} ${Math.round(y * UNITS)}`;
    };
    const rings = this.countries.flatMap((country) => country.rings);
    return rings.map((ring) => `M${ring.map(spot).join("L")}Z`).join("");
  }

  /** The name of the country that a place is in, or near to on its coast; nothing at sea. */
  nameOf(latitude, longitude) {
    for (const [north, east] of AROUND) {
      const found = this.countryAt(latitude + north * COAST, longitude + east * COAST);
      if (found) return found.name;
    }
    return "";
  }

  countryAt(latitude, longitude) {
    const inBox = ({ west, south, east, north }) =>
      west <= longitude && longitude <= east && south <= latitude && latitude <= north;
    return this.countries.find(
      (country) => inBox(country) && isInside(country.rings, longitude, latitude),
    );
  }
}

function lineOf(steps, unit) {
  const points = [];
  let [x, y] = [0, 0];
  for (let i = 0; i < steps.length; i += 2) {
    [x, y] = [x + steps[i], y + steps[i + 1]];
    points.push([x * unit, y * unit]);
  }
  return points;
}

function countryOf(name, rings, lines) {
  const closed = rings.flatMap((arcs) =>
    flat(arcs.flatMap((arc) => (arc < 0 ? lines[~arc].toReversed() : lines[arc]).slice(1))),
  );
  const points = closed.flat();
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const box = { west: least(xs), south: least(ys), east: most(xs), north: most(ys) };
  return { name, rings: closed, ...box };
}

/** A ring that crosses the 180th meridian as two, each of which goes on beyond an edge of the map. */
function flat(ring) {
  const turns = ring.map(([x], i) => Math.round(((ring[i - 1]?.[0] ?? x) - x) / 360));
  if (!turns.some(Boolean) && Math.abs(ring[0][0] - ring.at(-1)[0]) < 180) return [ring];
  let turn = 0;
  const whole = ring.map(([x, y], i) => [x + 360 * (turn += turns[i]), y]);
  if (Math.abs(whole[0][0] - whole.at(-1)[0]) > 180) {
    return [[...whole, [whole.at(-1)[0], -90], [whole[0][0], -90]]]; // around the South Pole
  }
  const other = whole.some(([x]) => x > 180) ? -360 : 360;
  return [whole, whole.map(([x, y]) => [x + other, y])];
}

const least = (numbers) => numbers.reduce((one, other) => Math.min(one, other), Infinity);
const most = (numbers) => numbers.reduce((one, other) => Math.max(one, other), -Infinity);

/** Whether a line from the point to the east crosses the rings an odd number of times. */
function isInside(rings, x, y) {
  let inside = false;
  for (const ring of rings) {
    for (let i = 0, before = ring.at(-1); i < ring.length; before = ring[i], i += 1) {
      const [[ax, ay], [bx, by]] = [before, ring[i]];
      if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
    }
  }
  return inside;
}
