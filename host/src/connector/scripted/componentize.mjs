// Makes a component of an entry module. Run by `rapidbyte connector build` in the project's folder, so that the tool is the
// project's own: componentize.mjs ENTRY WIT WORLD OUT
import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";

const [sourcePath, witPath, worldName, out] = process.argv.slice(-4);
try {
  const { component } = await componentize({ sourcePath, witPath, worldName });
  await writeFile(out, component);
} catch (error) {
  console.error(String(error.message ?? error).trim());
  process.exit(1);
}
