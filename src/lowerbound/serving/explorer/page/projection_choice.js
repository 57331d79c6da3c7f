// The choice of the plane for runs with more than two latents: a pair of latents, principal components, or UMAP.

import { button, choice, element } from "explorer/dom.js";
import { latentsOfLevel, levelOf } from "explorer/levels.js";
import { fixedProjection, latentProjection, principalProjection } from "explorer/projection.js";

export function createProjectionChoice(view) {
  const { info, cursor } = view;
  const kinds = [
    ["latents", "two latents"],
    ...(info.space.name === "real" ? [["pca", "principal components"]] : []),
    ["umap", umapText(view)],
  ];
  const kind = choice("Plane", kinds, (value) => change(value));
  const umap = [...kind.select.options].find(({ value }) => value === "umap");
  umap.disabled = !info.can.umap;
  const several = info.levels?.length > 1 && view.source.setLevel;
  const nameOf = (k) => (several ? `z${k + 1} (level ${levelOf(info, k)})` : `z${k + 1}`);
  const latents = Array.from({ length: info.latent_dim }, (_, k) => [String(k), nameOf(k)]);
  const [horizontal, vertical] = ["x axis", "y axis"].map((label) => choice(label, latents, () => change("latents")));
  const setAxes = (axes) => ([horizontal.select.value, vertical.select.value] = axes.map(String));
  setAxes(cursor.projection.axes);
  const widest = button(
    "Largest variance",
    () => {
      setAxes(view.byVariance.slice(0, 2));
      change("latents");
    },
    { className: "quiet" },
  );
  const level = several
    ? choice("Level", info.levels.map((_, l) => [String(l + 1), levelText(l, info.levels.length)]), (value) => {
        view.source.setLevel(view.id, Number(value));
        const own = latentsOfLevel(info, Number(value));
        const axes = [...view.byVariance.filter((k) => own.includes(k)), ...own].slice(0, 2);
        if (axes[0] === axes[1] || axes.length < 2) axes[1] = view.byVariance.find((k) => k !== axes[0]);
        setAxes(axes);
        change("latents");
        view.emit("cursor");
      })
    : null;
  const pair = element("span", { className: "pair" }, horizontal.node, vertical.node, widest);

  async function change(value) {
    const { stage } = view;
    try {
      const projection = await projectionOf(value);
      if (projection) cursor.setProjection(projection);
    } catch (error) {
      stage.showMessage(error.message);
    }
    kind.select.value = cursor.projection.kind;
    pair.hidden = cursor.projection.kind !== "latents";
  }

  async function projectionOf(value) {
    if (value === "latents") {
      const axes = [Number(horizontal.select.value), Number(vertical.select.value)];
      return axes[0] === axes[1] ? null : latentProjection(info, axes);
    }
    if (!view.isReady) throw new Error("Wait until all examples are encoded.");
    if (value === "pca") return principalProjection(view.codes);
    view.stage.showMessage("UMAP is being computed …");
    const plane = await view.source.umap(view.id);
    view.stage.showMessage("");
    return fixedProjection(view.codes, plane);
  }

  return element("span", { className: "projection" }, level?.node, kind.node, pair);
}

const levelText = (l, count) => `${l + 1}${l ? (l === count - 1 ? ", the top" : "") : ", nearest x"}`;

function umapText({ info, source }) {
  if (info.can.umap) return "UMAP";
  return source.isOffline ? "UMAP (only with a server)" : "UMAP (needs pip install umap-learn)";
}
