// A picture to search by: chosen, dropped or pasted, made small here where the browser can read it.

import { find, make } from "./dom.js";
import { isolated } from "./format.js";

const SIDE = 640; // models look at less than that
const SMALL = 5e5; // bytes that are sent as they are

/**
 * What is sent and remembered of a picture file. One that this browser cannot read goes to the
 * server as it is: it may know the format, or says what is wrong with it.
 *
 * @returns {Promise<{key: string, name: string, type: string, bytes: ArrayBuffer}>}
 */
export async function readPicture(file) {
  const key = `${Date.now()}-${file.size}`;
  const name = file.name || "picture";
  const image = await createImageBitmap(file).catch(() => null);
  const scale = image ? Math.min(1, SIDE / Math.min(image.width, image.height)) : 1;
  if (!image || (scale === 1 && file.size <= SMALL)) {
    return { key, name, type: file.type, bytes: await file.arrayBuffer() };
  }
  const [width, height] = [image.width, image.height].map((one) => Math.round(one * scale));
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // under what is transparent
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  image.close();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  return { key, name, type: blob.type, bytes: await blob.arrayBuffer() };
}

/** Draws a picture into a canvas, cut to its shape; false where this browser cannot read it. */
export async function drawPicture(canvas, { bytes, type }) {
  const image = await createImageBitmap(new Blob([bytes], { type })).catch(() => null);
  if (!image) return false;
  const scale = Math.max(canvas.width / image.width, canvas.height / image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  const left = (canvas.width - width) / 2;
  const top = (canvas.height - height) / 2;
  canvas.getContext("2d").drawImage(image, left, top, width, height);
  image.close();
  return true;
}

/**
 * Takes pictures dropped anywhere, pasted, and chosen with the file button.
 *
 * @param {(file: File) => void} onPicture
 * @param {(text: string) => void} tell something worth knowing about what was dropped
 */
export function takePictures(onPicture, tell) {
  const input = find("#file");
  const overlay = find("#drop");
  find("#pick").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) onPicture(input.files[0]);
    input.value = "";
  });

  let inside = 0; // elements that the drag has entered and not left
  const drags = (event) => event.dataTransfer?.types.includes("Files");
  const end = () => {
    inside = 0;
    overlay.hidden = true;
  };
  addEventListener("dragenter", (event) => {
    if (!drags(event)) return;
    inside += 1;
    overlay.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (drags(event) && (inside -= 1) <= 0) end();
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    if (event.target.matches("input[type=search]") && !drags(event)) return; // text goes in there
    event.preventDefault();
    end();
    take([...event.dataTransfer.files], "Drop a picture file, from a folder for instance.");
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    take(files, "What was pasted is not a picture.");
  });

  function take(files, otherwise) {
    const named = /\.(jpe?g|png|webp|gif|bmp|tiff?|hei[cf]|avif)$/i;
    const isPicture = (file) => file.type.startsWith("image/") || named.test(file.name);
    const pictures = files.filter(isPicture);
    if (!pictures.length) {
      tell(files.length ? `“${isolated(files[0].name)}” is not a picture.` : otherwise);
      return;
    }
    if (pictures.length > 1) tell(`One picture at a time: searching by “${isolated(pictures[0].name)}”.`);
    onPicture(pictures[0]);
  }
}
