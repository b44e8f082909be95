// What a grid shows. A source has
//   sections, ratios, complete   see `Layout`
//   photo(place)                 undefined as long as it is not there
//   placeOf(id)                  -1 where it is not there
//   want(from, to)               told which photos are to be seen soon
// and the grid is told, by `more` and `fill`, what came.

export const NOTHING = Object.freeze({
  sections: [],
  ratios: [],
  complete: true,
  photo: () => undefined,
  placeOf: () => -1,
  want: () => {},
});

export const ratioOf = ({ width, height }) => Math.max(width, 1) / Math.max(height, 1);

/** The source of a few photos that are all there. */
export function sourceOf(photos) {
  return {
    ...NOTHING,
    sections: [{ start: 0, count: photos.length }],
    ratios: photos.map(ratioOf),
    photo: (place) => photos[place],
    placeOf: (id) => photos.findIndex((photo) => photo.id === id),
  };
}
