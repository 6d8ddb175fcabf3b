/**
 * Rows as JSON, with every digit: a number of JavaScript has 53 bits, a column may have more. Integers that do not fit are
 * BigInt; decimals are text. Instants are ISO 8601 text, binary is hexadecimal text.
 */

import { dataError } from "./errors.js";

/** A token of JSON that is a text or a number. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** A number by its digits. */
class Exact {
  constructor(digits) {
    this.digits = digits;
  }
}

/** The rows of a text with an object on each line. */
export function parseRows(text, schema) {
  const decimals = schema.fields.filter((field) => field.type.startsWith("decimal")).map((field) => field.name);
  const lines = text.split("\n").filter((line) => line);
  return lines.map((line) => {
    const row = /\d{16}|\d[.]\d{10}/.test(line) ? parseExactly(line) : JSON.parse(line);
    for (const [name, value] of Object.entries(row)) {
      if (!decimals.includes(name)) row[name] = settle(value);
      else if (value !== null) row[name] = value instanceof Exact ? value.digits : String(value);
    }
    return row;
  });
}

/** Numbers are marked as texts with a zero before them, and texts that begin with one get another. */
function parseExactly(line) {
  const marked = line.replace(TOKEN, (token) => {
    if (!token.startsWith('"')) return `"\\u0000${token}"`;
    return token.startsWith('"\\u0000') ? `"\\u0000${token.slice(1)}` : token;
  });
  return JSON.parse(marked, (_, value) => {
    if (typeof value !== "string" || !value.startsWith("\0")) return value;
    return value.startsWith("\0\0") ? value.slice(1) : new Exact(value.slice(1));
  });
}

function settle(value) {
  if (value instanceof Exact) {
    const number = Number(value.digits);
    return Number.isSafeInteger(number) || !/^-?\d+$/.test(value.digits) ? number : BigInt(value.digits);
  }
  if (Array.isArray(value)) return value.map(settle);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, settle(item)]));
  return value;
}

/** A value as JSON. Besides what JSON has: BigInt, Date, and Uint8Array as hexadecimal text. */
export function toJson(value) {
  if (value === null || value === undefined) return "null";
  switch (typeof value) {
    case "bigint":
      return String(value);
    case "number":
      if (!Number.isFinite(value)) throw dataError("not_json", `the number ${value} cannot travel`);
      return String(value);
    case "boolean":
    case "string":
      return JSON.stringify(value);
    case "object":
      if (value instanceof Date) return JSON.stringify(value.toISOString());
      if (value instanceof Uint8Array) return `"${Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("")}"`;
      if (Array.isArray(value)) return `[${value.map(toJson).join(",")}]`;
      return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}:${toJson(item)}`).join(",")}}`;
    default:
      throw dataError("not_json", `a value of type \`${typeof value}\` cannot travel`);
  }
}
