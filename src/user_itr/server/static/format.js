// Figures and dates as a person reads them.

const whole = new Intl.NumberFormat("en");
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "short" });
const weekday = new Intl.DateTimeFormat("en-GB", {
  weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC",
});
const months = new Intl.DateTimeFormat("en-GB", {
  month: "short", year: "numeric", timeZone: "UTC",
});

export const count = (number) => whole.format(number);

/** "1 photo", "1,234 photos". */
export const photos = (number) => `${count(number)} ${number === 1 ? "photo" : "photos"}`;

/** "Italy" of "/photos/Italy". */
export const folder = (path) => path.split(/[\\/]/).findLast(Boolean) ?? path;

/** "good match, 87 %"; an empty text for a photo without a match. */
export const match = (found) => (found ? `${found.word} match, ${found.percent} %` : "");

/** "Fri, 3 May 2024" of "2024-05-03". */
export const day = (iso) => weekday.format(new Date(iso));

/** "May 2024" of any day in it. */
export const month = (iso) => months.format(new Date(iso));

export function bytes(number) {
  if (number < 1e6) return `${count(Math.max(1, Math.round(number / 1e3)))} kB`;
  return number < 1e9 ? `${tenths.format(number / 1e6)} MB` : `${tenths.format(number / 1e9)} GB`;
}

export function pixels(width, height) {
  const size = `${count(width)} × ${count(height)}`;
  const million = (width * height) / 1e6;
  return million < 0.1 ? size : `${size} (${tenths.format(million)} MP)`;
}

/** "3 May 2024 at 12:30"; times without a zone are shown as they are. */
export function date(iso) {
  const when = new Date(iso);
  return Number.isNaN(when.getTime()) ? iso : moment.format(when);
}

/** "1.2K". */
export const short = (number) => compact.format(number);

/** "48.86° N 2.35° E". */
export function place(latitude, longitude) {
  const degrees = (number, [positive, negative]) =>
    `${Math.abs(number).toFixed(2)}° ${number < 0 ? negative : positive}`;
  return `${degrees(latitude, "NS")} ${degrees(longitude, "EW")}`;
}

/** An area of the globe as the server takes it. */
export const area = (southWest, northEast) =>
  [southWest, northEast]
    .flatMap(({ latitude, longitude }) => [latitude, longitude])
    .map((degrees) => degrees.toFixed(6))
    .join(",");

/** The middle of such an area. */
export function middle(area) {
  const [south, west, north, east] = area.split(",").map(Number);
  const across = (west + east + (west > east ? 360 : 0)) / 2;
  return place((south + north) / 2, across > 180 ? across - 360 : across);
}

const RIGHT_TO_LEFT = /\p{Script=Arabic}|\p{Script=Hebrew}|\p{Script=Syriac}|\p{Script=Thaana}|[\u202a-\u202e\u2066-\u2069\u200e\u200f]/u;

/** Text of a file or a person, within a sentence, whose order it must not change. */
export const isolated = (text) => (RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text);
