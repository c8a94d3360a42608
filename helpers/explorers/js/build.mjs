// Bundles each explorer, with the parts of D3 that it uses, into one ES module: node helpers/explorers/js/build.mjs [folder]

import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const SHARED = ["apart.js", "field.js", "inflate.js", "parts.js", "plot.js", "surfaces.js", "wordpiece.js", "writing.js"]; // what the others import
const here = fileURLToPath(new URL(".", import.meta.url));
const outdir = process.argv[2] ?? fileURLToPath(new URL("../static", import.meta.url));

await build({
  entryPoints: readdirSync(here).filter((name) => name.endsWith(".js") && !SHARED.includes(name)).map((name) => here + name),
  outdir,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "eof",
});
