// Checks GitLab pipelines against GitLab's published JSON schema, which gitlab-ci-local carries.
// Usage: node gitlab.mjs FOLDER_WITH_NODE_MODULES PIPELINE…
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, ...files] = process.argv.slice(2);
const require = createRequire(`${folder}/node_modules/gitlab-ci-local/package.json`);
const Ajv = require("ajv").default;
const yaml = require("js-yaml");
const { schema } = await import(pathToFileURL(`${folder}/node_modules/gitlab-ci-local/src/schema/schema.js`));
const validate = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(schema);
let errors = 0;
for (const name of files) {
  if (validate(yaml.load(readFileSync(name, "utf8")))) continue;
  for (const error of validate.errors) console.log(`${name}${error.instancePath}: ${error.message}`);
  errors += validate.errors.length;
}
process.exit(errors ? 1 : 0);
