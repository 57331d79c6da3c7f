// Colours of labels: ten that are far apart, also with each of the three colour blindnesses, for either background.

const LIGHT = [
  "#133665",
  "#2dbbf8",
  "#a63843",
  "#98bc00",
  "#672eac",
  "#aa7a0a",
  "#da8fa4",
  "#3a7798",
  "#5b2800",
  "#966aed",
];
const DARK = [
  "#6f9be0",
  "#2dbbf8",
  "#e0606e",
  "#98bc00",
  "#a06be6",
  "#d0a036",
  "#e3a6b6",
  "#5f9fc0",
  "#b07a4a",
  "#b39af5",
];
const UNKNOWN = { light: "#68707a", dark: "#a0a8b1" };

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

export const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : prefersDark.matches;
};

/** As many colours as there are categories: the ten, and then hues around the circle. */
export function palette(count) {
  const ten = isDark() ? DARK : LIGHT;
  const further = (k) => `hsl(${Math.round((k * 137.508) % 360)} 60% ${isDark() ? 65 : 40}%)`;
  return Array.from({ length: count }, (_, k) => (k < ten.length ? ten[k] : further(k)));
}

export const unknownColour = () => (isDark() ? UNKNOWN.dark : UNKNOWN.light);

/** A colour as the scatter wants it: three numbers from 0 to 1. */
export function components(colour) {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return Array.from(context.getImageData(0, 0, 1, 1).data.slice(0, 3), (level) => level / 255);
}

// Asked for many times a frame, and changed by a theme alone.
const known = new Map();

/** A colour of the page by its name in the style sheet. */
export function colourOf(name) {
  if (!known.has(name))
    known.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return known.get(name);
}

export const THEMES = ["system", "light", "dark"];

/** Have the page light, dark, or as the system is; remembered for the next visit where that is allowed. */
export function setTheme(theme) {
  known.clear();
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // A page opened from disk may have no storage.
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
    known.clear();
    listener();
  });
}
