// Reads GitHub workflows with the parser of GitHub's own language services, and prints every error.
// Usage: node github.mjs FOLDER_WITH_NODE_MODULES WORKFLOW…
import { readFileSync } from "node:fs";
import { register } from "node:module";
import { pathToFileURL } from "node:url";

// The parser imports JSON files in a way that not every release of node takes.
const hook = `
import { readFile } from "node:fs/promises";
export async function load(url, context, next) {
  if (!url.endsWith(".json")) return next(url, context);
  const text = await readFile(new URL(url), "utf8");
  return { format: "module", shortCircuit: true, source: "export default " + text };
}`;
register("data:text/javascript," + encodeURIComponent(hook));

const [folder, ...files] = process.argv.slice(2);
const parser = await import(pathToFileURL(`${folder}/node_modules/@actions/workflow-parser/dist/index.js`));
let errors = 0;
for (const name of files) {
  const content = readFileSync(name, "utf8");
  const { context, value } = parser.parseWorkflow({ name, content }, new parser.NoOperationTraceWriter());
  const found = context.errors.getErrors().map((error) => error.message);
  if (value && found.length === 0) {
    const template = await parser.convertWorkflowTemplate(context, value);
    found.push(...(template.errors ?? []).map((error) => error.Message));
    if (!template.jobs?.length) found.push("it has no jobs");
  }
  for (const message of found) console.log(`${name}: ${message}`);
  errors += found.length;
}
process.exit(errors ? 1 : 0);
