// Colours: of labels and curves from the server's palette, of everything else from the style sheet; light and dark themes.

import { PALETTE } from "explorer/palette.js";

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

export const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : prefersDark.matches;
};

const colours = () => (isDark() ? PALETTE.dark : PALETTE.light);

/** A colour for each category: the ten of the palette, then hues around the circle. */
export function palette(count) {
  const ten = colours().categories;
  const further = (k) => `hsl(${Math.round((k * 137.508) % 360)} 60% ${isDark() ? 65 : 40}%)`;
  return Array.from({ length: count }, (_, k) => (k < ten.length ? ten[k] : further(k)));
}

/** `count` colours of a scale from low to high, between those of the palette. */
export function sequential(count) {
  const stops = colours().sequential.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return Array.from({ length: count }, (_, k) => {
    const place = (k / Math.max(1, count - 1)) * (stops.length - 1);
    const first = Math.min(stops.length - 2, Math.floor(place));
    const share = place - first;
    const mixed = stops[first].map((level, channel) => Math.round(level + share * (stops[first + 1][channel] - level)));
    return `rgb(${mixed.join(" ")})`;
  });
}

export const dimmedColour = () => colours().dimmed;

export const unknownColour = () => colours().unknown;

const drawn = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

/** A colour for the scatter: three numbers from 0 to 1. */
export function components(colour) {
  const context = drawn;
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return Array.from(context.getImageData(0, 0, 1, 1).data.slice(0, 3), (level) => level / 255);
}

// Read many times per frame, and changed only by a new theme.
const cache = new Map();

/** A colour of the page by its name in the style sheet. */
export function colourOf(name) {
  if (!cache.has(name))
    cache.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return cache.get(name);
}

/** Give the style sheet the palette's colours of the two splits. */
function applyPalette() {
  cache.clear();
  for (const name of ["train", "validation"]) document.documentElement.style.setProperty(`--${name}`, colours()[name]);
}

export const THEMES = ["system", "light", "dark"];

/** Set the theme to light, dark or the system's, and store it for the next visit if the browser allows it. */
export function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  applyPalette();
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // A page opened from disk may not have storage.
  }
}

export function storedTheme() {
  try {
    return THEMES.find((theme) => theme === localStorage.getItem("theme")) ?? "system";
  } catch {
    return "system";
  }
}

export function onSystemTheme(listener) {
  prefersDark.addEventListener("change", () => {
    applyPalette();
    listener();
  });
}
