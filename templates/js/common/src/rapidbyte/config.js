/**
 * Holds a config against its JSON Schema and fills in the defaults. It knows the words that `config.schema.json` may use:
 * `type properties required additionalProperties items enum default minimum maximum minLength minItems`.
 */

import { ConnectorError, configError } from "./errors.js";

const TYPES = {
  string: (value) => typeof value === "string",
  integer: (value) => Number.isInteger(value),
  number: (value) => typeof value === "number",
  boolean: (value) => typeof value === "boolean",
  array: (value) => Array.isArray(value),
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  null: (value) => value === null,
};

/** The config in a JSON text; a `config` error names the key that is wrong. */
export function parse(text, schema) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ConnectorError("config", "config_invalid", `the config is no JSON: ${error.message}`);
  }
  if (!TYPES.object(value)) throw new ConnectorError("config", "config_invalid", "the config must be an object");
  check(value, schema, "");
  const defaults = Object.entries(schema.properties ?? {}).filter(([, shape]) => "default" in shape);
  return { ...Object.fromEntries(defaults.map(([key, shape]) => [key, shape.default])), ...value };
}

function check(value, schema, key) {
  const types = [schema.type ?? []].flat();
  if (types.length && !types.some((type) => TYPES[type](value))) throw configError(key, `must be of type ${types.join(" or ")}`);
  if (schema.enum && !schema.enum.includes(value)) throw configError(key, `must be one of ${schema.enum.join(", ")}`);
  if (typeof value === "number") {
    if (value < schema.minimum) throw configError(key, `must be at least ${schema.minimum}`);
    if (value > schema.maximum) throw configError(key, `must be at most ${schema.maximum}`);
  }
  if (typeof value === "string" && value.length < schema.minLength) throw configError(key, "must not be empty");
  if (Array.isArray(value)) {
    if (value.length < schema.minItems) throw configError(key, `must have at least ${schema.minItems} item(s)`);
    value.forEach((item, index) => check(item, schema.items ?? {}, `${key}[${index}]`));
  } else if (TYPES.object(value)) {
    const inside = (name) => (key ? `${key}.${name}` : name);
    for (const name of schema.required ?? []) if (!(name in value)) throw configError(inside(name), "is missing");
    for (const [name, item] of Object.entries(value)) {
      if (Object.hasOwn(schema.properties ?? {}, name)) check(item, schema.properties[name], inside(name));
      else if (schema.additionalProperties === false) throw configError(inside(name), "is no key of this connector");
    }
  }
}
