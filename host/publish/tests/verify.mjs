// Holds a bundle against a public key with `@sigstore/verify`, as any other tool would: no log, no time-stamp, one key.
// Arguments: folder of the package, bundle, public key (PEM). Prints the digest that the bundle is about.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createPublicKey } from "node:crypto";

const [, , packages, bundlePath, keyPath] = process.argv;
const require = createRequire(`${packages}/`);
const { bundleFromJSON } = require("@sigstore/bundle");
const { Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");

const pem = readFileSync(keyPath, "utf8");
const bundle = bundleFromJSON(JSON.parse(readFileSync(bundlePath, "utf8")));
const root = {
  mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
  tlogs: [],
  certificateAuthorities: [],
  ctlogs: [],
  timestampAuthorities: [],
};
const keys = (_hint) => ({ publicKey: createPublicKey(pem), validFor: () => true });
const verifier = new Verifier(toTrustMaterial(root, keys), {
  tlogThreshold: 0,
  ctlogThreshold: 0,
  tsaThreshold: 0,
});
verifier.verify(toSignedEntity(bundle));
const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString());
console.log(statement.subject[0].digest.sha256);
