// Elements are only ever built here, with text nodes: titles and texts are untrusted.

/**
 * An element. Attributes whose value is null, undefined or false are left out; "onclick" and the like take
 * functions.
 * @param {string} tag
 * @param {Record<string, any>} attributes
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * An icon of the page's sprite.
 * @param {string} name
 */
export function icon(name) {
  const image = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  image.setAttribute("class", "icon");
  image.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  image.append(use);
  return image;
}

/**
 * The element with this id.
 * @param {string} id
 * @returns {any}
 */
export const byId = (id) => document.getElementById(id);
