// Signs a digest into a bundle with `@sigstore/sign`, by a key of its own. Arguments: folder of the package, digest, the bundle's
// and the public key's path.
import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";
import { createHash, createSign, generateKeyPairSync } from "node:crypto";

const [, , packages, digest, bundlePath, keyPath] = process.argv;
const require = createRequire(`${packages}/`);
const { DSSEBundleBuilder } = require("@sigstore/sign");
const { bundleToJSON } = require("@sigstore/bundle");

const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const hint = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");
const signer = {
  sign: async (data) => ({
    signature: createSign("SHA256").update(data).sign(privateKey),
    key: { $case: "publicKey", publicKey: publicKey.export({ type: "spki", format: "pem" }), hint },
  }),
};
const statement = {
  _type: "https://in-toto.io/Statement/v1",
  subject: [{ name: "", digest: { sha256: digest } }],
  predicateType: "https://sigstore.dev/cosign/sign/v1",
  predicate: {},
};
const builder = new DSSEBundleBuilder({ signer, witnesses: [] });
const data = Buffer.from(JSON.stringify(statement));
const bundle = await builder.create({ type: "application/vnd.in-toto+json", data });
writeFileSync(bundlePath, JSON.stringify(bundleToJSON(bundle)));
writeFileSync(keyPath, publicKey.export({ type: "spki", format: "pem" }));
