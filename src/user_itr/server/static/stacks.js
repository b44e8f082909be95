// Copies and near copies in a list stand behind the first of them.

/**
 * The photos that are no copy of another one in the list; those that have copies carry them as
 * `copies`.
 * @param {object[]} photos as the server gave them, with `copy_of`
 */
export function stacked(photos) {
  const firsts = new Map(photos.filter((one) => !one.copy_of).map((one) => [one.id, one]));
  for (const photo of firsts.values()) photo.copies = [];
  for (const photo of photos) firsts.get(photo.copy_of)?.copies.push(photo);
  return [...firsts.values()];
}
